import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.errors import ConfigError, DataError
from slimtune.workload.splits import noise_warning, split_dataset, stratified_split
from slimtune.workload.types import Dataset, Split

labels_of_any_kind = st.lists(st.integers(0, 4), max_size=80).map(np.array)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


def dataset(n_train=40, n_test=20):
    def split(start, n):
        images = np.arange(start, start + n, dtype=np.uint8).reshape(n, 1, 1, 1)
        return Split(images, np.arange(n) % 2)

    return Dataset("made", split(0, n_train), split(100, n_test), ("a", "b"), (0.5,), (0.5,))


def ids(split):
    return set(split.images.ravel().tolist())


@given(labels_of_any_kind, fractions, seeds)
def test_every_index_is_in_exactly_one_part_and_both_are_sorted(labels, fraction, seed):
    rest, part = stratified_split(labels, fraction, seed)
    assert sorted([*rest, *part]) == list(range(len(labels)))
    assert rest.dtype == part.dtype == np.int64
    assert np.array_equal(rest, np.sort(rest)) and np.array_equal(part, np.sort(part))


@given(labels_of_any_kind, fractions, seeds)
def test_each_class_gives_its_share_and_keeps_at_least_one(labels, fraction, seed):
    rest, part = stratified_split(labels, fraction, seed)
    for label in set(labels.tolist()):
        total, given_away = np.sum(labels == label), np.sum(labels[part] == label)
        assert np.sum(labels[rest] == label) >= 1
        if total >= 2:
            assert given_away >= 1
        if 1 <= fraction * total <= total - 1:
            assert abs(given_away - fraction * total) <= 0.5


@given(labels_of_any_kind, fractions, seeds)
def test_equal_seeds_give_equal_parts(labels, fraction, seed):
    first, second = (stratified_split(labels, fraction, seed) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_other_seeds_give_other_parts():
    labels = np.arange(200) % 10
    parts = {tuple(stratified_split(labels, 0.3, seed)[1]) for seed in range(10)}
    assert len(parts) == 10


def test_members_of_a_class_are_chosen_evenly():
    labels = np.zeros(20, dtype=np.int64)
    chosen = [stratified_split(labels, 0.25, seed)[1] for seed in range(400)]
    counts = np.bincount(np.concatenate(chosen), minlength=20)
    assert counts.min() > 65 and counts.max() < 135  # 100 expected, deviation 9


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction):
    with pytest.raises(ConfigError, match=f"between 0 and 1, but got {fraction}"):
        stratified_split(np.zeros(4), fraction, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="0 or more, but got -1"):
        stratified_split(np.zeros(4), 0.5, -1)


def test_validation_from_train_leaves_test_whole():
    whole = dataset()
    train, validation, test = split_dataset(whole, "train", 0.25, 0)
    assert (len(train), len(validation), len(test)) == (30, 10, 20)
    assert ids(train) | ids(validation) == ids(whole.train) and not ids(train) & ids(validation)
    assert test is whole.test
    assert np.bincount(validation.labels).tolist() == [5, 5]


def test_validation_from_test_leaves_train_whole():
    whole = dataset()
    train, validation, test = split_dataset(whole, "test", 0.5, 0)
    assert (len(train), len(validation), len(test)) == (40, 10, 10)
    assert ids(test) | ids(validation) == ids(whole.test) and not ids(test) & ids(validation)
    assert train is whole.train


def test_labels_stay_with_their_images():
    for split in split_dataset(dataset(), "train", 0.25, 0)[:2]:
        assert np.array_equal(split.images.ravel() % 2, split.labels)


def test_another_source_is_refused():
    with pytest.raises(ConfigError, match="'train' or 'test', but got 'valid'"):
        split_dataset(dataset(), "valid", 0.5, 0)


def test_classes_of_one_image_cannot_be_divided():
    with pytest.raises(DataError, match="needs a class with 2 images in test"):
        split_dataset(dataset(n_test=2), "test", 0.5, 0)


def test_equal_accuracies_give_no_warning():
    assert noise_warning(0.9, 1000, 0.9, 1000) is None
    assert noise_warning(1.0, 10, 1.0, 10) is None


def test_the_limit_is_three_standard_errors_of_the_difference():
    # p = .9 and about .9, n = 1000 each: SE = sqrt(.09/1000 + .09/1000) = .01342, 3 SE = .0402
    assert noise_warning(0.92, 1000, 0.88, 1000) is None
    assert noise_warning(0.925, 1000, 0.88, 1000) is not None
    assert noise_warning(0.925, 500, 0.88, 500) is None


def test_a_few_images_that_are_all_right_are_no_reason_to_warn():
    # Of networks with 0.9, 12 % have 20 of 20 right; the limit of 20 ones alone would be 0.
    assert noise_warning(1.0, 20, 0.9, 1000) is None
    assert noise_warning(1.0, 5000, 0.9, 1000) is not None
    assert noise_warning(0.5, 1000, 0.0, 1000) is not None


def test_a_memorised_validation_split_is_named_with_both_numbers_and_the_way_out():
    warning = noise_warning(0.998, 5000, 0.917, 10000)
    assert "99.80%" in warning and "91.70%" in warning
    assert "trained on the validation images" in warning
    assert "validation.source: test" in warning


def test_a_validation_split_that_is_harder_than_test_gets_another_reason():
    warning = noise_warning(0.80, 5000, 0.917, 10000)
    assert "trained on" not in warning and "differ in kind" in warning
