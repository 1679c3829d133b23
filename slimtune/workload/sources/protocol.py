"""The protocol of data sources: a function from a reference's second half to a dataset."""

from collections.abc import Callable

from slimtune.errors import DataError, shortened
from slimtune.registry import Registry
from slimtune.workload.sources.fit import Fit
from slimtune.workload.types import Dataset

SOURCES: Registry[Callable[[str, Fit], Dataset]] = Registry("dataset")
"""Loaders by name. Each takes what follows the colon of a reference, "" if nothing does, and what
its images shall be brought to."""


def refuse_argument(name: str, argument: str) -> None:
    """Raise unless nothing follows the name of a source that needs nothing.

    Raises:
        DataError: ``argument`` is not empty.
    """
    if argument:
        raise DataError(f"'{name}' takes nothing after its name, but got {shortened(argument)}")
