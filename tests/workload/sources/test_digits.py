import numpy as np
import sklearn.datasets

from slimtune.workload.sources.digits import load_digits
from slimtune.workload.types import Augmentation


def test_train_and_test_together_are_all_1797_images():
    dataset, bunch = load_digits(), sklearn.datasets.load_digits()
    ours = np.concatenate([dataset.train.images, dataset.test.images]).reshape(-1, 64)
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    both = np.column_stack([np.round(ours / 255 * 16), labels]).astype(int)
    theirs = np.column_stack([bunch.data, bunch.target]).astype(int)
    assert sorted(map(tuple, both)) == sorted(map(tuple, theirs))


def test_images_are_grey_bytes_over_the_whole_range():
    images = load_digits().train.images
    assert images.dtype == np.uint8 and images.shape[1:] == (8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)


def test_the_test_split_is_30_percent_of_every_digit():
    dataset = load_digits()
    test, train = (np.bincount(split.labels) for split in (dataset.test, dataset.train))
    assert len(test) == 10
    assert np.all(np.abs(test - 0.3 * (test + train)) <= 0.5)


def test_normalised_training_images_have_mean_0_and_deviation_1():
    dataset = load_digits()
    normalised = (dataset.train.images / 255 - dataset.mean) / dataset.std
    assert abs(normalised.mean()) < 1e-12 and abs(normalised.std() - 1) < 1e-12


def test_digits_are_cropped_but_never_mirrored():
    dataset = load_digits()
    assert dataset.augmentation == Augmentation(padding=1, flip=False)
    assert dataset.classes == tuple("0123456789")
