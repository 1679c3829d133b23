"""Handwritten digits: 1797 real grey images of 8x8 pixels that come with scikit-learn."""

from importlib import import_module

import numpy as np

from slimtune.workload.sources.assembly import channel_statistics
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES, refuse_argument
from slimtune.workload.splits import stratified_split
from slimtune.workload.types import Augmentation, Dataset, Split

_TEST_FRACTION = 0.3
_SEED = 0  # of the split into train and test: part of what "digits" means, never a setting


@SOURCES.register("digits")
def load_digits(argument: str = "", fit: Fit = AS_IT_IS) -> Dataset:
    """Load scikit-learn's copy of the UCI optical digits; nothing is downloaded.

    Grey levels 0..16 are scaled to 0..255. A fixed, stratified 30 % is the test split; both
    splits hold all 13 writers. Mirrored digits are no digits, so training only crops.

    Args:
        argument: must be empty.
        fit: what the images shall be brought to.

    Raises:
        DataError: something follows the name.
    """
    refuse_argument("digits", argument)
    # Imported here: a worker, which gets the images, needs no scikit-learn (50 MB).
    bunch = import_module("sklearn.datasets").load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    whole = Split(fit.applied(images), bunch.target.astype(np.int64))
    rest, part = stratified_split(whole.labels, _TEST_FRACTION, _SEED)
    train, test = whole.take(rest), whole.take(part)
    classes = tuple(str(digit) for digit in range(10))
    mean, std = channel_statistics(train.images)
    augmentation = Augmentation(padding=1, flip=False)
    return Dataset(
        "digits", train, test, classes, mean, std, augmentation, normalised_by="default"
    )
