from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import v2

from slimtune.errors import DataError
from slimtune.workload.objects.items import arrays_of_items

GREY = np.random.default_rng(0).integers(0, 256, (6, 8, 10), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 8, 10, 3), np.uint8)


class Items(torch.utils.data.Dataset):
    def __init__(self, image: Callable[[int], Any], label: Callable[[int], Any] = int) -> None:
        self.image, self.label = image, label

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return self.image(index), self.label(index)


@pytest.mark.parametrize(
    "image",
    [
        lambda i: Image.fromarray(GREY[i]),
        lambda i: GREY[i],
        lambda i: torch.from_numpy(GREY[i]),
        lambda i: v2.functional.to_tensor(Image.fromarray(GREY[i]))[0],
    ],
    ids=["pil", "array", "tensor", "floats"],
)
def test_grey_images_come_as_they_are(image: Callable[[int], Any]) -> None:
    found = arrays_of_items(Items(image), "train")
    assert np.array_equal(found["x_train"], GREY) and found["y_train"].tolist() == [*range(6)]


def test_colour_comes_as_it_is_and_what_to_tensor_made_is_undone() -> None:
    found = arrays_of_items(Items(lambda i: Image.fromarray(COLOUR[i])), "test")
    assert np.array_equal(found["x_test"], COLOUR)
    floats = arrays_of_items(Items(lambda i: v2.functional.to_tensor(COLOUR[i])), "test")
    assert np.array_equal(floats["x_test"], COLOUR.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("label", [np.int64, torch.tensor, np.uint8])
def test_labels_are_any_integers(label: Callable[[int], Any]) -> None:
    assert arrays_of_items(Items(lambda i: GREY[i], label), "train")["y_train"][5] == 5


def test_palettes_and_transparency_become_colours() -> None:
    one = Image.fromarray(COLOUR[0])
    for mode in ("P", "RGBA", "CMYK"):
        found = arrays_of_items(Items(lambda i, mode=mode: one.convert(mode)), "train")
        assert found["x_train"].shape == (6, 8, 10, 3)


def test_torchvisions_own_datasets_are_read(tmp_path: Path) -> None:
    found = arrays_of_items(FakeData(5, (3, 8, 8), 4), "train")
    assert found["x_train"].shape == (5, 8, 8, 3) and "classes" not in found
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        Image.fromarray(COLOUR[0]).save(tmp_path / name / "a.png")
    assert arrays_of_items(ImageFolder(str(tmp_path)), "train")["classes"] == ["cats", "dogs"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"image": GREY[0], "label": 1}], r"train\[0\] is a dict with image, label"),
        ([(GREY[0], 1, 2)], r"train\[0\] is tuple, expected \(image, label\)"),
        ([GREY[0]], r"is ndarray of shape \(8, 10\), expected \(image, label\)"),
        (Items(lambda i: GREY[i] / 127 - 1), "leave Normalize out"),
        (Items(lambda i: GREY[i].astype("f4")), "floats 0..1"),
        (Items(lambda i: torch.rand(8, 8)), "leave random transforms out"),
        (Items(lambda i: Image.fromarray(GREY[i][: 8 - i])), r"train\[1\] .*Resize"),
        (Items(lambda i: GREY[i], float), "has the label 0.0, expected one integer"),
        (Items(lambda i: GREY[i], str), "has the label '0', expected one integer"),
        (Items(lambda i: GREY[i], lambda i: i == 0), "has the label True"),
        (Items(lambda i: GREY[i], lambda i: np.eye(3)[0]), "expected one integer"),
        (Items(lambda i: GREY[i].ravel()), "expected a PIL image"),
        (Items(lambda i: "a.png"), "for an image str"),
        (Items(lambda i: 1 / 0), r"train\[0\] raised ZeroDivisionError"),
        ([], "train is empty"),
    ],
)
def test_other_items_are_refused_in_one_line(items: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        arrays_of_items(items, "train")
    assert "\n" not in str(raised.value)
