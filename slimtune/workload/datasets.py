"""From a reference such as ``digits`` or ``parquet:DIR`` to a dataset in memory."""

from slimtune.errors import DataError, shortened
from slimtune.workload.sources import SOURCES
from slimtune.workload.types import Dataset


def load_dataset(reference: str) -> Dataset:
    """Load the dataset that ``reference`` names.

    Args:
        reference: the name of a source, and after a colon what that source needs: ``digits``,
            ``cifar10``, ``cifar100``, ``folder:DIR`` or ``parquet:DIR``.

    Returns:
        All images in memory as uint8, NHWC; labels are 0..classes-1, and every class has a
        training image.

    Raises:
        UnknownNameError: no source has this name; the nearest is suggested.
        DataError: the data is missing, damaged or breaks a rule; the message names the file.
    """
    if not isinstance(reference, str):
        raise DataError(f"a dataset is named by a string, but got {shortened(reference)}")
    name, _, argument = reference.partition(":")
    return SOURCES[name](argument)
