"""Data that is handed in: arrays, torch datasets, a `Dataset`, or a function that returns some."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slimtune.errors import DataError, shortened
from slimtune.workload.objects.items import arrays_of_items
from slimtune.workload.objects.references import importable_name, kept_reference
from slimtune.workload.sources.parts import part_of
from slimtune.workload.types import Dataset

FORMS = (
    "(x_train, y_train, x_test, y_test), a dict of such arrays, a torch dataset or a pair of them "
    "for training and test, a slimtune.Dataset, a function that returns one of these, or a "
    "reference such as 'folder:DIR'"
)


@dataclass(frozen=True)
class InMemory:
    """Data in memory, as a function that returns it, like the user's own functions.

    Attributes:
        data: arrays by name, or a dataset.
    """

    data: Dataset | dict[str, Any]

    def __call__(self) -> Dataset | dict[str, Any]:
        """Return the data."""
        return self.data


def data_reference(data: Any) -> str:
    """Return the reference of data.

    Args:
        data: a reference, which is returned as it is, or one of `FORMS`.

    Raises:
        DataError: it is none of them; whether the arrays fit is checked when they are used.
    """
    if isinstance(data, str):
        return data
    if _is_function(data):
        name = str(getattr(data, "__name__", "function"))
        name = "lambda_" if name == "<lambda>" else name
        return importable_name(data) or kept_reference("data", name, data, data)
    content = data if isinstance(data, Dataset) else as_arrays(data)
    name = content.name if isinstance(content, Dataset) else "arrays"
    return kept_reference("data", name, content, InMemory(content))


def as_arrays(data: Any) -> dict[str, Any]:
    """Return data as arrays by name, as `from_arrays` wants them.

    Args:
        data: arrays by name or in their order; torch datasets; training and test as a pair.

    Raises:
        DataError: it is something else, or a dataset gives something else than pairs of an image
            and a label.
    """
    if isinstance(data, Mapping):
        return _of_mapping(data)
    if isinstance(data, tuple | list) and not _is_item(data[0] if len(data) else None):
        return _of_sequence(data)
    if hasattr(data, "dataset") and not hasattr(data, "__getitem__"):
        raise DataError(
            f"data: is a {type(data).__name__}, which shuffles and batches; give its .dataset"
        )
    if isinstance(data, type):
        raise DataError(f"data: is the class {data.__name__}; give an instance of it")
    if _has_items(data):
        return arrays_of_items(data, "train")
    raise DataError(f"data: must be {FORMS}; but got {_in_words(data)}")


def _of_mapping(data: Mapping[Any, Any]) -> dict[str, Any]:
    if data and all(map(_has_items, data.values())):
        arrays: dict[str, Any] = {}
        for word, items in data.items():
            if (part := part_of(str(word))) is None:
                raise DataError(f"data: unknown part {shortened(word)}; it is train, val or test")
            arrays |= arrays_of_items(items, part)
        return _with_classes(arrays)
    return {str(name): _array(value) for name, value in data.items()}


def _of_sequence(data: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    if len(data) == 4 and all(map(_is_array, data)):
        second, third = np.ndim(_array(data[1])), np.ndim(_array(data[2]))
        if second >= 3 and third <= 2:
            raise DataError(
                "data: must be in the order x_train, y_train, x_test, y_test, but the second has "
                f"{second} dimensions and the third {third}; train_test_split returns x_train, "
                "x_test, y_train, y_test: give (x_train, y_train, x_test, y_test)"
            )
        names = ("x_train", "y_train", "x_test", "y_test")
        return {name: _array(part) for name, part in zip(names, data, strict=True)}
    if len(data) == 2 and all(map(_is_array, data)):
        return {"x_train": _array(data[0]), "y_train": _array(data[1])}
    if len(data) == 2 and all(map(_is_pair, data)):
        return _of_sequence([*data[0], *data[1]])
    if len(data) == 2 and all(map(_has_items, data)):
        test = arrays_of_items(data[1], "test")
        return _with_classes({**test, **arrays_of_items(data[0], "train")})
    words = ", ".join(map(_in_words, data[:6])) + (", …" if len(data) > 6 else "")
    raise DataError(f"data: must be {FORMS}; but got {len(data)} things: {words or 'nothing'}")


def _with_classes(arrays: dict[str, Any]) -> dict[str, Any]:
    """Leave out class names that are fewer than the labels of all parts."""
    most = max(int(y.max(initial=-1)) for name, y in arrays.items() if name.startswith("y_"))
    if len(arrays.get("classes", ())) <= most:
        arrays.pop("classes", None)
    return arrays


def _array(value: Any) -> Any:
    """Return a tensor as an array; what is no tensor as NumPy sees it."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"data: cannot be made an array: {error}") from error


def _is_array(value: object) -> bool:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return True
    return isinstance(value, list) and not _is_item(value[0] if value else None)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_array, value))


def _is_item(value: object) -> bool:
    """Return whether a value is an image with its label, as a dataset gives them."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return np.ndim(value[1]) == 0 and not isinstance(value[1], str) and not _has_items(value[1])


def _has_items(value: object) -> bool:
    """Return whether a value is a dataset: it has a length and items, and is no array."""
    sized = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    if isinstance(value, tuple):
        return False
    if isinstance(value, list):
        return bool(value) and _is_item(value[0])
    plain = isinstance(value, str | bytes | type | Mapping) or _is_array(value)
    return sized and not plain


def _is_function(data: Any) -> bool:
    is_data = isinstance(data, Dataset | Mapping) or hasattr(data, "__getitem__")
    if isinstance(data, type) and hasattr(data, "__getitem__"):
        return False
    return callable(data) and not is_data


def _in_words(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} {value.dtype} {tuple(value.shape)}"
    words = shortened(value, 40)
    return type(value).__name__ if " at 0x" in words else f"{type(value).__name__} {words}"
