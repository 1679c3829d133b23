import dataclasses

import numpy as np
import pytest

from slimtune.workload.types import Dataset, Split

IMAGES = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)
SPLIT = Split(IMAGES, np.array([0, 1, 2, 1]))


def test_a_split_is_as_long_as_its_labels() -> None:
    assert len(SPLIT) == 4


def test_taking_images_keeps_their_order_and_their_labels() -> None:
    taken = SPLIT.take(np.array([2, 0]))
    assert taken.labels.tolist() == [2, 0]
    assert np.array_equal(taken.images, IMAGES[[2, 0]])


def test_the_shape_of_an_image_is_told_channels_first() -> None:
    names = ("a", "b", "c")
    dataset = Dataset("d", SPLIT, SPLIT, names, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert dataset.image_shape == (3, 5, 6)


def test_data_cannot_be_exchanged_under_a_search() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPLIT.labels = np.zeros(4)  # type: ignore[misc]
