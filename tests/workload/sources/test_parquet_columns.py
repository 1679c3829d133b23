import json
from pathlib import Path

import pyarrow as pa
import pytest

from slimtune.errors import DataError
from slimtune.workload.sources.parquet_columns import find_columns

IMAGE = ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def schema(*integers: str, labels: tuple[str, ...] = (), **images: pa.DataType) -> pa.Schema:
    """Integer columns before an image; of ``labels`` the metadata says that they are classes."""
    fields = [(name, pa.int64()) for name in integers]
    features = {name: {"names": ["a", "b"], "_type": "ClassLabel"} for name in labels}
    features |= {
        name: {"dtype": "int64", "_type": "Value"} for name in integers if name not in labels
    }
    made = pa.schema([*fields, *(images.items() or [IMAGE])])
    if not labels:
        return made
    return made.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


@pytest.mark.parametrize(
    ("integers", "labels", "label"),
    [
        (["image_id", "labels"], ("labels",), "labels"),
        (["label", "breed"], ("breed",), "breed"),  # ClassLabel wins over a usual name
        (["coarse_label", "fine_label"], ("coarse_label", "fine_label"), "fine_label"),
        (["image_id", "labels"], (), "labels"),
        (["number"], (), "number"),
    ],
)
def test_the_declared_column_wins_then_a_usual_name(
    integers: list[str], labels: tuple[str, ...], label: str
) -> None:
    columns = find_columns(schema(*integers, labels=labels), Path("x"))
    assert columns.label == label and columns.declared is bool(labels)
    assert columns.classes == (("a", "b") if labels else None)
    assert columns.others == tuple(name for name in labels if name != label)


@pytest.mark.parametrize(
    ("integers", "labels"),
    [(["image_id", "source"], ()), (["breed", "species"], ("breed", "species"))],
)
def test_where_nothing_tells_which_is_meant_none_is_taken(
    integers: list[str], labels: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match="several columns of integer labels: .*name the one"):
        find_columns(schema(*integers, labels=labels), Path("x"))


def test_of_two_image_columns_the_usual_one_is_taken() -> None:
    kind = IMAGE[1]
    assert find_columns(schema("label", mask=kind, image=kind), Path("x")).image == "image"
    with pytest.raises(DataError, match="several columns of image bytes: left, right"):
        find_columns(schema("label", left=kind, right=kind), Path("x"))


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"[]",
        b'{"info": 1}',
        b'{"info": {"features": [1]}}',
        b'{"info": {"features": {"label": 3}}}',
    ],
)  # fmt: skip
def test_metadata_of_another_form_is_as_none(metadata: bytes) -> None:
    columns = find_columns(schema("label").with_metadata({"huggingface": metadata}), Path("x"))
    assert columns.classes is None and not columns.declared
