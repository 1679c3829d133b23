import numpy as np
import torch

from slimtune.compression.calibration import calibration_batch, spread
from slimtune.workload.augment import normalise
from slimtune.workload.types import Workload


def test_images_are_spread_over_the_split_from_its_first_to_its_last(digits: Workload) -> None:
    chosen = spread(digits, 10)
    gaps = np.diff(chosen)
    assert chosen[0] == 0 and chosen[-1] == len(digits.train) - 1
    assert gaps.max() - gaps.min() <= 1


def test_there_are_never_more_than_the_split_has(digits: Workload) -> None:
    assert spread(digits, 10**6).tolist() == list(range(len(digits.train)))


def test_the_batch_is_normalised_and_not_augmented(digits: Workload) -> None:
    images, labels = calibration_batch(digits, 5, "cpu")
    raw = torch.from_numpy(digits.train.images[spread(digits, 5)])
    assert torch.equal(images, normalise(raw, digits.mean, digits.std))
    assert labels.tolist() == digits.train.labels[spread(digits, 5)].tolist()
