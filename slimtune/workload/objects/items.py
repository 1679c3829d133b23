"""A torch dataset, read item by item into arrays: images and labels."""

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from slimtune.errors import DataError, shortened
from slimtune.workload.load_progress import report_decoded
from slimtune.workload.sources.room import check_room

_ALMOST = 1e-4
"""How far from 0..1 a float pixel may lie by rounding."""


def arrays_of_items(items: Any, part: str) -> dict[str, Any]:
    """Return ``x_PART`` and ``y_PART`` of a dataset, and ``classes`` where it names them.

    An image is a PIL image, an array or tensor of uint8, or one of floats 0..1 (what ``ToTensor``
    makes), which is rounded to 256 levels. A label is an integer.

    Args:
        items: has a length, and gives (image, label) for an index.
        part: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        DataError: an item of another form, images of several shapes, or an item that is another
            one each time it is asked for.
    """
    count = len(items)
    if count == 0:
        raise DataError(f"data: {part} is empty; give at least one image of each class")
    first, _ = _item(items, 0, part)
    _check_steady(items, first, part)
    check_room(f"data: {part}: {count} images", count * first.nbytes, "give fewer or smaller ones")
    images = np.empty((count, *first.shape), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        image, labels[index] = _item(items, index, part)
        if image.shape != first.shape:
            raise DataError(
                f"data: {part}[{index}] is an image of shape {image.shape}, {part}[0] of "
                f"{first.shape}; bring all to one shape: transforms.Resize((HEIGHT, WIDTH))"
            )
        images[index] = image
        report_decoded(index + 1, count)
    named = _classes(items)
    return {f"x_{part}": images, f"y_{part}": labels, **({"classes": named} if named else {})}


def _item(items: Any, index: int, part: str) -> tuple[np.ndarray, int]:
    where = f"data: {part}[{index}]"
    try:
        item = items[index]
    except Exception as error:  # the user's own
        words = (str(error).splitlines() or [""])[0]
        raise DataError(f"{where} raised {type(error).__name__}: {words}") from error
    if isinstance(item, dict):
        keys = ", ".join(map(str, item))
        raise DataError(
            f"{where} is a dict with {keys}, expected (image, label); give a list instead: "
            "[(item['image'], item['label']) for item in data]"
        )
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{where} is {_kind(item)}, expected (image, label)")
    return _pixels(item[0], where), _label(item[1], where)


def _pixels(image: Any, where: str) -> np.ndarray:
    """Return an image as uint8, its axes as they are."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        raise DataError(
            f"{where} has for an image {_kind(image)}, expected a PIL image, or an array or "
            "tensor of (height, width), with channels or without"
        )
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    if array.dtype.kind != "f" or low < -_ALMOST or high > 1 + _ALMOST:
        raise DataError(
            f"{where} has an image of {array.dtype} from {low:.3g} to {high:.3g}, expected uint8 "
            "pixels 0..255, or floats 0..1; leave Normalize out of the dataset's transform: "
            "slimtune normalises by itself (preprocessing={'mean': ..., 'std': ...})"
        )
    return np.asarray((array * 255).round().clip(0, 255), np.uint8)


def _label(label: Any, where: str) -> int:
    value = np.asarray(label.detach().cpu() if isinstance(label, Tensor) else label)
    if value.ndim == 0 and value.dtype.kind in "iu":
        return int(value)
    raise DataError(
        f"{where} has the label {shortened(label, 40)}, expected one integer; number the classes "
        "from 0"
    )


def _check_steady(items: Any, first: np.ndarray, part: str) -> None:
    again = [_item(items, 0, part)[0] for _ in range(3)]
    if all(each.shape == first.shape and (each == first).all() for each in again):
        return
    raise DataError(
        f"data: {part}[0] is another image each time; leave random transforms out of the dataset: "
        "slimtune augments by itself"
    )


def _classes(items: Any) -> list[str]:
    """Return the class names that a dataset, or the one it is a part of, has; none if it has not.

    torchvision calls them ``classes``.
    """
    while not hasattr(items, "classes") and hasattr(items, "dataset"):
        items = items.dataset
    named = getattr(items, "classes", None)
    fits = isinstance(named, list | tuple) and all(isinstance(name, str) for name in named)
    return list(named) if fits and named is not None else []


def _kind(value: Any) -> str:
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    return f"{type(value).__name__}{shape}"
