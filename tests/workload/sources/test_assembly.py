import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slimtune.errors import DataError
from slimtune.workload.sources.assembly import channel_statistics, check_labels, natural_images
from slimtune.workload.types import Augmentation, Split


def split(labels, height=8, channels=3):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(labels), height, 8, channels), dtype=np.uint8)
    return Split(images, np.array(labels))


@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 4)))
def test_statistics_are_those_of_numpy_per_channel(images):
    mean, std = channel_statistics(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(std, np.maximum(scaled.std((0, 1, 2)), 1 / 255), atol=1e-9)


@pytest.mark.parametrize("channels", [1, 2])
def test_statistics_of_many_images_need_little_memory_and_are_those_of_one_histogram(channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20_500, 10, 10, channels), dtype=np.uint8)
    whole = [np.bincount(images[..., c].reshape(-1), minlength=256) for c in range(channels)]
    levels = np.arange(256) / 255
    means = [float(counts @ levels / counts.sum()) for counts in whole]
    tracemalloc.start()
    mean, _ = channel_statistics(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mean == tuple(means) and peak < images.nbytes


def test_three_channels_are_normalised_as_imagenet():
    dataset = natural_images("made", split([0, 1]), split([1, 0]), ("a", "b"))
    assert dataset.mean == (0.485, 0.456, 0.406) and dataset.std == (0.229, 0.224, 0.225)


def test_one_channel_is_normalised_by_its_training_images():
    train = split([0, 1], channels=1)
    dataset = natural_images("made", train, split([1, 0], channels=1), ("a", "b"))
    assert dataset.mean == pytest.approx((train.images.mean() / 255,))
    assert dataset.std == pytest.approx((train.images.std() / 255,))


@pytest.mark.parametrize(("height", "padding"), [(2, 1), (8, 1), (28, 4), (32, 4), (64, 8)])
def test_training_pads_by_an_eighth_of_the_height_and_mirrors(height, padding):
    dataset = natural_images("made", split([0, 1], height), split([1, 0], height), ("a", "b"))
    assert dataset.augmentation == Augmentation(padding=padding, flip=True)


@pytest.mark.parametrize(
    ("train", "test", "classes", "message"),
    [
        ([], [0], "ab", "train has no images"),
        ([0, 1], [], "ab", "test has no images"),
        ([0, 0], [0], "a", "at least 2 classes, but has 1"),
        ([0, 1, 2], [0], "ab", "labels must be 0..1, but train has 2"),
        ([0, 1, -1], [0], "ab", "labels must be 0..1, but train has -1"),
        ([0, 1], [0, -1], "ab", "labels must be 0..1, but test has -1"),
        ([0, 2], [0], "abc", "no training image has label 1 \\('b'\\)"),
        ([1, 2], [1], "abc", "no training image has label 0 \\('a'\\)"),
    ],
)
def test_labels_that_break_a_rule_are_refused(train, test, classes, message):
    with pytest.raises(DataError, match=message) as caught:
        check_labels("made", np.array(train), np.array(test), tuple(classes))
    assert "\n" not in str(caught.value)


def test_a_class_may_be_absent_from_test():
    assert natural_images("made", split([0, 1]), split([1]), ("a", "b")).classes == ("a", "b")
