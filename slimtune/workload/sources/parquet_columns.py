"""Which columns of a Parquet file hold images and labels, by the hub's metadata or by type."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from slimtune.errors import DataError

_IMAGES = ("img", "image", "images", "pixels")
_LABELS = ("label", "fine_label", "labels", "target", "class")


@dataclass(frozen=True)
class Columns:
    """Where images and labels are.

    Attributes:
        image: column of encoded images.
        label: column of integers.
        classes: names of the labels by the hub's metadata; None without it.
        declared: whether the metadata declares the column to be labels (``ClassLabel``), so that
            -1 means an image without a label.
        others: further columns that are declared to be labels.
    """

    image: str
    label: str
    classes: tuple[str, ...] | None
    declared: bool
    others: tuple[str, ...]


def find_columns(schema: pa.Schema, shard: Path) -> Columns:
    """Return the columns to read.

    A column that the metadata declares as ``ClassLabel`` is taken before any other column of
    integers, and one with a usual name before others of its kind.

    Raises:
        DataError: no such column, or several and nothing that tells which is meant.
    """
    integers = [field.name for field in schema if pa.types.is_integer(field.type)]
    features = _features(schema)
    declared = [name for name in integers if _is_label(features.get(name))]
    label = _chosen(declared or integers, _LABELS, schema, f"{shard}: no column of integer labels")
    images = [field.name for field in schema if _holds_bytes(field.type)]
    return Columns(
        image=_chosen(images, _IMAGES, schema, f"{shard}: no column of image bytes"),
        label=label,
        classes=_class_names(features.get(label)),
        declared=bool(declared),
        others=tuple(name for name in declared if name != label),
    )


def _chosen(found: list[str], names: Sequence[str], schema: pa.Schema, rule: str) -> str:
    if not found:
        raise DataError(f"{rule}; it has {', '.join(map(str, schema.names)) or 'no columns'}")
    usual = next((name for name in names if name in found), None)
    if usual is None and len(found) > 1:
        raise DataError(
            f"{rule.replace('no column', 'several columns', 1)}: {', '.join(found)}; name the one "
            f"that is meant '{names[0]}', or remove the others"
        )
    return usual or found[0]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(schema: pa.Schema) -> dict[str, object]:
    """Return what the hub's metadata says of each column; without it classes are numbered."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def _is_label(feature: object) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel"


def _class_names(feature: object) -> tuple[str, ...] | None:
    names = feature.get("names") if isinstance(feature, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) and names else None
