import numpy as np
import pandas
import pytest
import torch
import torchvision
from torch.utils.data import DataLoader, Subset, TensorDataset

from slimtune.errors import DataError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.objects.data import as_arrays, data_reference
from slimtune.workload.types import Dataset

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
TENSORS = TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
HALVES = Subset(TENSORS, range(30)), Subset(TENSORS, range(30, 60))


def loaded(data: object) -> Dataset:
    return load_dataset(data_reference(data))


@pytest.mark.parametrize(
    "data",
    [
        (IMAGES[:30], LABELS[:30], IMAGES[30:], LABELS[30:]),
        [IMAGES[:30], LABELS[:30].tolist(), IMAGES[30:], LABELS[30:]],
        ((IMAGES[:30], LABELS[:30]), (IMAGES[30:], LABELS[30:])),
        tuple(map(torch.from_numpy, (IMAGES[:30], LABELS[:30], IMAGES[30:], LABELS[30:]))),
        {"x_train": IMAGES[:30], "y_train": LABELS[:30], "x_test": IMAGES[30:],
         "y_test": LABELS[30:]},
        (IMAGES[:30, None], LABELS[:30], IMAGES[30:, ..., None], LABELS[30:]),
        HALVES,
        {"train": HALVES[0], "test": HALVES[1]},
        ([*HALVES[0]], [*HALVES[1]]),
        lambda: (IMAGES[:30], LABELS[:30], IMAGES[30:], LABELS[30:]),
    ],
    ids=["tuple", "list", "pairs", "tensors", "dict", "channels", "torch", "parts", "lists", "f"],
)  # fmt: skip
def test_every_form_gives_the_same_images(data: object) -> None:
    found = loaded(data)
    assert np.array_equal(found.train.images[..., 0], IMAGES[:30])
    assert np.array_equal(found.test.images[..., 0], IMAGES[30:])
    assert np.array_equal(found.train.labels, LABELS[:30]) and found.test.labels.dtype == np.int64
    assert found.classes == ("0", "1", "2")


@pytest.mark.parametrize("data", [(IMAGES, LABELS), TENSORS, [*TENSORS]])
def test_a_fifth_is_set_apart_where_there_are_no_test_images(data: object) -> None:
    found = loaded(data)
    assert len(found.train) == 48 and len(found.test) == 12


def test_a_dataset_of_ours_keeps_what_it_says() -> None:
    mine = loaded((IMAGES, LABELS))
    again = loaded(Dataset("photos", mine.train, mine.test, ("a", "b", "c"), (0.25,), (0.5,)))
    assert again.mean == (0.25,) and again.classes == ("a", "b", "c")
    assert again.normalised_by == "data" and again.name.endswith(":photos")


def test_the_class_names_of_a_torch_dataset_are_taken_over() -> None:
    TENSORS.classes = ["cat", "dog", "owl"]
    try:
        assert loaded(HALVES).classes == ("cat", "dog", "owl")
    finally:
        del TENSORS.classes


def test_other_data_has_another_name_and_options_may_follow() -> None:
    one, other = data_reference((IMAGES, LABELS)), data_reference((IMAGES + 1, LABELS))
    assert one != other and data_reference((IMAGES.copy(), LABELS.copy())) == one
    assert load_dataset(f"{one}@flip=0,mean=half").augmentation.flip is False
    assert data_reference("digits") == "digits"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES[:30], IMAGES[30:], LABELS[:30], LABELS[30:]), "train_test_split returns"),
        ((IMAGES, LABELS, IMAGES), "but got 3 things: ndarray uint8"),
        ([], "but got 0 things: nothing"),
        (7, "data: must be .* but got int 7"),
        (None, "but got NoneType"),
        (DataLoader(TENSORS), "is a DataLoader, .* give its .dataset"),
        (torchvision.datasets.MNIST, "is the class MNIST; give an instance"),
        ({"images": TENSORS}, "unknown part 'images'"),
        ([[IMAGES[0], IMAGES[0, :4]], LABELS[:2]], "data: "),
    ],
)
def test_other_forms_are_refused(data: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data_reference(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES / 255, LABELS), r"uint8 pixels, 0..255, but is float64 .*\(x \* 255\).round"),
        ((IMAGES.astype("f4"), LABELS), r"from 0 to 255; convert it by x.round\(\)"),
        ((IMAGES.astype(int), LABELS), r"convert it by x.astype\('uint8'\)"),
        ((IMAGES / 127 - 1, LABELS), "from before they were normalised"),
        ((IMAGES.reshape(60, -1), LABELS), r"has shape \(60, 64\)"),
        ((IMAGES, LABELS.astype("f4")), r"must be integers .* y.astype\('int64'\)"),
        ((IMAGES, np.eye(3)[LABELS]), r"must be integers .* y.argmax\(axis=1\)"),
        ((IMAGES, LABELS.astype(str)), "return_inverse=True"),
        ((IMAGES, LABELS + 1), "labels must be 0..3 without gaps"),
        ((IMAGES, LABELS[:5]), "60 images, y_train 5 labels"),
        (lambda root: 3, "data lambda needs the argument 'root'"),
        (lambda: 3, "data lambda returned int"),
    ],
)
def test_arrays_that_do_not_fit_say_how_they_would(data: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        loaded(data)


def test_a_table_is_no_data() -> None:
    with pytest.raises(DataError, match="^data: "):
        as_arrays(pandas.DataFrame({"a": [1]}))
