import numpy as np
import pytest

from slimtune.errors import DataError, UnknownNameError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources import SOURCES


def test_the_catalogue_holds_every_promised_source():
    assert set(SOURCES.names()) == {
        "digits", "cifar10", "cifar100", "folder", "parquet", "npz", "torchvision"
    }  # fmt: skip


def test_a_bare_name_loads_a_built_in_dataset():
    dataset = load_dataset("digits")
    assert dataset.name == "digits" and dataset.image_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("reference", "nearest"),
    [("cifar-10", "cifar10"), ("digit", "digits"), ("parket:/data", "parquet")],
)
def test_an_unknown_name_is_refused_with_the_nearest(reference, nearest):
    with pytest.raises(UnknownNameError, match=f"unknown dataset .* Did you mean '{nearest}'"):
        load_dataset(reference)


@pytest.mark.parametrize("reference", ["digits:8", "cifar10:x", "cifar100:/data"])
def test_a_built_in_dataset_takes_no_argument(reference):
    with pytest.raises(DataError, match="takes nothing after its name"):
        load_dataset(reference)


@pytest.mark.parametrize("reference", ["folder", "folder:", "parquet", "parquet:"])
def test_a_source_of_files_needs_its_folder(reference):
    with pytest.raises(DataError, match="needs a directory after its name"):
        load_dataset(reference)


@pytest.mark.parametrize("reference", ["folder:/no/such:place", "parquet:/no/such:place"])
def test_a_path_that_does_not_exist_is_named_whole(reference):
    with pytest.raises(DataError, match="folder /no/such:place does not exist"):
        load_dataset(reference)


@pytest.mark.parametrize("reference", [None, 3, ["digits"]])
def test_a_reference_that_is_no_string_is_refused(reference):
    with pytest.raises(DataError, match="named by a string"):
        load_dataset(reference)


@pytest.mark.parametrize(("options", "flip"), [("", False), ("@flip=0", False), ("@flip=1", True)])
def test_whether_training_mirrors_can_be_said_of_any_data(options, flip):
    augmentation = load_dataset(f"digits{options}").augmentation
    assert augmentation.flip is flip and augmentation.padding == 1


def test_loading_twice_gives_the_same_pixels():
    first, second = load_dataset("digits"), load_dataset("digits")
    assert np.array_equal(first.train.images, second.train.images)
    assert np.array_equal(first.test.labels, second.test.labels)


def test_a_typed_normalisation_counts_before_the_default() -> None:
    assert load_dataset("digits").normalised_by == "default"
    dataset = load_dataset("digits@channels=3,mean=imagenet,std=0.25")
    assert dataset.mean == (0.485, 0.456, 0.406) and dataset.std == (0.25,) * 3
    assert dataset.normalised_by == "option"
    assert load_dataset("digits@mean=none").std == (1.0,)


@pytest.mark.parametrize("options", ["mean=imagenet", "mean=0.1/0.2,std=0.1/0.2", "std=0.5"])
def test_a_normalisation_that_does_not_fit_the_images_is_refused(options: str) -> None:
    with pytest.raises(DataError, match=f"^digits@{options}: (mean|std)"):
        load_dataset(f"digits@{options}")
