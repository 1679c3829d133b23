"""Cuts a validation split, and warns if selecting on it would mislead."""

import math
from typing import Literal

import numpy as np

from slimtune.errors import ConfigError, DataError, shortened
from slimtune.workload.types import Dataset, Split


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide indices in two so that both parts hold the classes in equal proportion.

    Each class gives ``round(fraction * count)`` of its images to the part, but at least one
    and at most all but one; a class of a single image stays in the rest.

    Args:
        labels: integers, (n,).
        fraction: share of each class that goes to the part, in (0, 1).
        seed: equal seeds give equal parts.

    Returns:
        (rest, part): int64 indices into ``labels``, both sorted; together every index once.

    Raises:
        ConfigError: ``fraction`` is outside (0, 1), or ``seed`` is negative.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"a split's fraction must lie between 0 and 1, but got {fraction}")
    if seed < 0:
        raise ConfigError(f"a split's seed must be 0 or more, but got {seed}")
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        chosen[rng.permutation(members)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def split_dataset(
    dataset: Dataset, source: Literal["train", "test"], fraction: float, seed: int
) -> tuple[Split, Split, Split]:
    """Cut a validation split away from the training or from the test images.

    From ``"train"`` is the usual way when slimtune trains the baseline itself. From ``"test"``
    is for a baseline that comes from elsewhere and has seen all of train; test accuracy is
    then measured on the test images that are left.

    Args:
        dataset: what to cut; not modified.
        source: which split gives its images away.
        fraction: share of the source that becomes validation, in (0, 1); stratified.
        seed: equal seeds give equal splits.

    Returns:
        (train, validation, test); no image is in two of them.

    Raises:
        ConfigError: ``source`` is neither "train" nor "test", or ``fraction`` or ``seed`` is
            out of range.
        DataError: no class has two images to share.
    """
    if source not in ("train", "test"):
        raise ConfigError(
            f"validation.source: must be 'train' or 'test', but got {shortened(source)}"
        )
    whole = dataset.train if source == "train" else dataset.test
    rest, part = stratified_split(whole.labels, fraction, seed)
    if len(part) == 0:
        raise DataError(
            f"'{dataset.name}': a validation split needs a class with 2 images in {source}, "
            "but every class has at most 1; add images or take validation from the other split"
        )
    if source == "train":
        return whole.take(rest), whole.take(part), dataset.test
    return dataset.train, whole.take(part), whole.take(rest)


def noise_warning(
    validation_accuracy: float, n_validation: int, test_accuracy: float, n_test: int
) -> str | None:
    """Return a warning when the baseline's two accuracies differ by more than chance allows.

    The limit is three standard errors of the difference of two independent binomial
    proportions, ``sqrt(p_v (1 - p_v) / n_v + p_t (1 - p_t) / n_t)``. Where one of them is 0 or 1,
    and its own term 0, both terms have the proportion of all images together.

    Args:
        validation_accuracy: of the baseline, in 0..1.
        n_validation: images it was measured on, 1 or more.
        test_accuracy: of the baseline, in 0..1.
        n_test: images it was measured on, 1 or more.

    Returns:
        One sentence or two, or None when the accuracies agree.
    """
    shares = (validation_accuracy, test_accuracy)
    if {0.0, 1.0} & set(shares):
        right = validation_accuracy * n_validation + test_accuracy * n_test
        shares = (right / (n_validation + n_test),) * 2
    counts = (n_validation, n_test)
    variance = sum(share * (1 - share) / n for share, n in zip(shares, counts, strict=True))
    limit = 3 * math.sqrt(variance)
    difference = validation_accuracy - test_accuracy
    if abs(difference) <= limit:
        return None
    found = (
        f"the baseline scores {validation_accuracy:.2%} on {n_validation} validation images and "
        f"{test_accuracy:.2%} on {n_test} test images, further apart than chance explains "
        f"({abs(difference):.2%}, limit {limit:.2%})."
    )
    if difference < 0:
        return f"{found} The two splits differ in kind: selecting on validation may mislead."
    return (
        f"{found} A checkpoint that was trained on the validation images makes selecting on "
        "them useless; set validation.source: test."
    )
