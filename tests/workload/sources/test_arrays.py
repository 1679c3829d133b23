from typing import Any

import numpy as np
import pytest

from slimtune.errors import DataError
from slimtune.workload.sources.arrays import from_arrays
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.types import Dataset


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def labels(n: int, classes: int = 2) -> np.ndarray:
    return np.arange(n) % classes


def load(**arrays: Any) -> Dataset:
    return from_arrays("mine", arrays, AS_IT_IS)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 7), (1, 9, 7)),
        ((9, 7, 1), (1, 9, 7)),
        ((9, 7, 3), (3, 9, 7)),
        ((3, 9, 7), (3, 9, 7)),
        ((1, 9, 7), (1, 9, 7)),
        ((9, 7, 4), (4, 9, 7)),
        ((3, 9, 3), (3, 3, 9)),  # channels come last where both can be meant
    ],
)
def test_channels_may_be_last_first_or_missing(
    shape: tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    x = images(6, *shape)
    dataset = load(x_train=x, y_train=labels(6), x_test=x, y_test=labels(6))
    assert dataset.image_shape == expected
    if shape == (3, 9, 7):
        assert np.array_equal(dataset.train.images[2, :, :, 1], x[2, 1])


def test_without_a_test_split_a_fixed_fifth_of_train_is_one() -> None:
    first, second = (load(x_train=images(20, 4, 4), y_train=labels(20)) for _ in range(2))
    assert (len(first.train), len(first.test)) == (16, 4)
    assert np.array_equal(first.test.images, second.test.images)
    assert first.validation is None


def test_validation_images_are_kept_apart() -> None:
    x, y = images(8, 4, 4), labels(8)
    dataset = load(x_train=x, y_train=y, x_val=x[:4], y_val=y[:4], x_test=x, y_test=y)
    assert dataset.validation is not None and len(dataset.validation) == 4


def test_classes_have_the_names_that_are_given() -> None:
    x, y = images(4, 4, 4), labels(4)
    named = load(x_train=x, y_train=y, x_test=x, y_test=y, classes=np.array(["cat", "dog"]))
    assert named.classes == ("cat", "dog")
    assert load(x_train=x, y_train=y, x_test=x, y_test=y).classes == ("0", "1")


def test_class_names_kept_as_bytes_are_utf8() -> None:
    arrays = {"x_train": images(8, 4, 4), "y_train": labels(8)}
    named = load(**arrays, classes=np.array([b"cat", "Löwe".encode()]))
    assert named.classes == ("cat", "Löwe")
    with pytest.raises(DataError, match=r"mine: classes must be text, in UTF-8 .* one is b'L.xf6"):
        load(**arrays, classes=np.array([b"cat", "Löwe".encode("latin-1")]))


def test_images_are_brought_to_a_size() -> None:
    x, y = images(6, 8, 8, 3), labels(6)
    arrays = {"x_train": x, "y_train": y, "x_test": images(6, 4, 4, 3), "y_test": y}
    assert from_arrays("mine", arrays, Fit((5, 6), 1)).image_shape == (1, 5, 6)


X, Y = images(4, 4, 4), labels(4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_trian": X}, "unknown array 'x_trian'. Did you mean 'x_train'"),
        ({"x_test": X, "y_test": Y}, "has no array x_train"),
        ({"x_train": X}, "has x_train but no y_train"),
        ({"x_train": X / 255, "y_train": Y}, "x_train must be uint8 pixels, 0..255, but is float"),
        ({"x_train": X[0], "y_train": Y}, "x_train must be"),
        ({"x_train": images(4, 9, 9, 9), "y_train": Y}, "has shape .4, 9, 9, 9."),
        ({"x_train": X, "y_train": Y / 2}, "y_train must be integers"),
        ({"x_train": X, "y_train": np.eye(4, dtype=int)}, "y_train must be integers"),
        ({"x_train": X, "y_train": Y[:3]}, "x_train has 4 images, y_train 3 labels"),
        ({"x_train": X, "y_train": Y * 0}, "at least 2 classes|needs"),
        ({"x_train": X, "y_train": Y * 10**6}, "one is 1000000"),
        (
            {"x_train": X, "y_train": Y, "x_test": images(4, 5, 5), "y_test": Y},
            "must have one shape",
        ),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(**arrays)
    assert "\n" not in str(caught.value) and "mine" in str(caught.value)


@pytest.mark.parametrize("word", ["val", "valid", "validation", "dev", "VALID"])
def test_parts_have_several_words_in_any_case(word: str) -> None:
    x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    arrays = {"X_training": x, "Y_training": y, "x_testing": x[:2], "y_testing": y[:2]}
    arrays |= {f"x_{word}": x[:3], f"y_{word}": y[:3]}
    dataset = from_arrays("data", arrays, AS_IT_IS)
    assert dataset.validation is not None and len(dataset.validation) == 3
    assert (len(dataset.train), len(dataset.test)) == (4, 2) and dataset.notes == ()


def test_two_arrays_for_one_part_are_refused() -> None:
    x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    arrays = {"x_train": x, "y_train": y, "x_val": x, "y_val": y, "x_dev": x}
    with pytest.raises(DataError, match="'x_val' and 'x_dev' both mean x_val; leave one out"):
        from_arrays("data", arrays, AS_IT_IS)


def test_test_images_taken_from_train_are_told() -> None:
    x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    notes = from_arrays("data", {"x_train": x, "y_train": y}, AS_IT_IS).notes
    assert notes == ("there is no x_test: a fixed 20% of x_train are the test images",)
