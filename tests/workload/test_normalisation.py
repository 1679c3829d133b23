import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.errors import DataError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.normalisation import (
    CIFAR10_PIXELS,
    NORMALISATIONS,
    as_text,
    in_words,
    name_of,
    option_of,
    read_numbers,
    resolved,
)

numbers = st.lists(st.floats(1e-6, 1), min_size=3, max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("half", "half"),
        ("0.5", (0.5,)),
        ("0.485/0.456/0.406", (0.485, 0.456, 0.406)),
        ("1/1/1", (1.0, 1.0, 1.0)),
        (".5/5e-1/0.5", (0.5, 0.5, 0.5)),
        (0.5, (0.5,)),
        (1, (1.0,)),
        ([0.1, 0.2, 0.3], (0.1, 0.2, 0.3)),
    ],
)
def test_numbers_are_read_from_text_lists_and_single_ones(value, expected) -> None:
    assert read_numbers("std", value) == expected


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("mean", "imagenett", "Did you mean 'imagenet'"),
        ("mean", "", "must be a name"),
        ("mean", "0.5/", "must be a name"),
        ("mean", "0.5/x/0.5", "numbers separated by /"),
        ("mean", True, "must be a name"),
        ("mean", [], "must be a name"),
        ("mean", {"r": 0.5}, "must be a name"),
        ("mean", "123.675/116.28/103.53", r"0 to 1, .*divide those of 0..255 by 255.* 123.675"),
        ("mean", "-0.1", "must be 0 to 1"),
        ("mean", "nan", "must be 0 to 1"),
        ("std", "0", "above 0 and at most 1"),
        ("std", "0.2/0/0.2", "above 0 and at most 1"),
        ("std", "58.4", "divide those of 0..255"),
        ("std", "inf", "above 0"),
    ],
)
def test_what_is_no_mean_or_deviation_is_refused(key, value, rule) -> None:
    with pytest.raises(DataError, match=rule):
        read_numbers(key, value)


def test_a_name_alone_stands_for_both_and_one_number_for_all_channels() -> None:
    assert resolved("cifar100", None, 3, "x") == NORMALISATIONS["cifar100"]
    assert resolved(None, "half", 3, "x") == ((0.5,) * 3, (0.5,) * 3)
    assert resolved((0.1,), (0.2,), 2, "x") == ((0.1, 0.1), (0.2, 0.2))
    assert resolved("imagenet", (0.5,), 3, "x") == ((0.485, 0.456, 0.406), (0.5,) * 3)


@pytest.mark.parametrize(
    ("mean", "std", "channels", "rule"),
    [
        ((0.5,), None, 3, "mean is given but std is not"),
        (None, (0.5,), 3, "std is given but mean is not"),
        ((0.5, 0.4), (0.5,), 3, "mean has 2 numbers, but the images have 3 channels"),
        ((0.5,), (0.5, 0.5, 0.5), 1, "std has 3 numbers, but the images have 1 channel;"),
        ("imagenet", "imagenet", 1, "mean imagenet has 3 numbers"),
    ],
)
def test_numbers_must_fit_the_channels(mean, std, channels, rule) -> None:
    with pytest.raises(DataError, match=rule):
        resolved(mean, std, channels, "folder:x")


@given(mean=numbers, std=numbers)
def test_what_is_said_to_be_typed_means_the_same_numbers(mean, std) -> None:
    option = dict(part.split("=") for part in option_of(mean, std).split(","))
    read = (read_numbers(key, text) for key, text in option.items())
    assert resolved(*read, 3, "x") == (mean, std)


@pytest.mark.parametrize("name", NORMALISATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_known_numbers_have_their_name(name, channels) -> None:
    if len(NORMALISATIONS[name][0]) in (1, channels):
        mean, std = resolved(name, name, channels, "x")
        assert name_of(mean, std) == name and option_of(mean, std) == f"mean={name},std={name}"


@pytest.mark.slow
def test_the_cifar_numbers_are_those_of_the_images(shared_folder) -> None:
    """The published means, from the images themselves; deviations are of single images."""
    images = load_dataset(f"parquet:{shared_folder / 'data' / 'cifar10'}").train.images
    some = images[:5000].astype(np.float32) / 255
    mean, std = NORMALISATIONS["cifar10"]
    assert np.abs(some.mean(axis=(0, 1, 2)) - mean).max() < 0.01
    assert np.abs(some.std(axis=(1, 2)).mean(axis=0) - std).max() < 0.01
    assert np.abs(some.std(axis=(0, 1, 2)) - CIFAR10_PIXELS[1]).max() < 0.01


def test_words_name_the_numbers_and_who_says_so() -> None:
    half = ((0.5,) * 3, (0.5,) * 3)
    assert in_words(*half, "option") == "half: mean 0.5, std 0.5 (as given)"
    assert in_words((0.1, 0.25), (1 / 3, 1.0), "network") == (
        "mean 0.1/0.25, std 0.3333/1 (the network's own)"
    )
    assert as_text((0.0, 1.0)) == "0/1"
