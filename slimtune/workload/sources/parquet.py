"""Parquet shards in the layout of the Hugging Face hub: encoded images and integer labels."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimtune.errors import DataError
from slimtune.workload.sources.assembly import natural_images
from slimtune.workload.sources.decoding import EncodedImage, decode_images
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.parquet_columns import Columns, find_columns
from slimtune.workload.sources.parquet_shards import find_shards
from slimtune.workload.sources.parts import assign_roles
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.types import Dataset, Split


@dataclass(frozen=True)
class _Rows:
    """The labelled rows of one part, still encoded, and how many rows have no label."""

    images: list[EncodedImage]
    labels: np.ndarray
    unlabelled: int
    columns: Columns


@SOURCES.register("parquet")
def load_parquet(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``DIR/*.parquet``, split by the words of `PART_WORDS` in the file names.

    With both test and validation shards, the search selects on validation; one of them alone is
    the test split. The image column is a struct with ``bytes`` or plain binary; the label column
    is the one that the hub's metadata declares as ``ClassLabel``, else an integer; of several,
    those with usual names (``img``, ``image``, ``label``, ``fine_label``, ``labels``) are
    preferred. Class names come from the metadata, else they are "0".."k-1". Rows with the label
    -1, the hub's word for none, are left out. Images of other sizes are resized to the first.

    Args:
        argument: the folder that holds the shards, or sub-folders named for the parts.
        fit: what the images shall be brought to.

    Raises:
        DataError: a missing folder, shard or column, a damaged shard or image, shards that
            disagree on the classes, or labels that are not 0..k-1.
    """
    shards, notes = find_shards(argument)
    name = f"parquet:{argument}"
    parts: dict[str, _Rows] = {
        part: _read_all(shards[part]) for part in ("train", "test", "val") if part in shards
    }
    _check_alike(name, parts)
    columns = parts["train"].columns
    if columns.others:
        notes.append(f"labels are of column '{columns.label}', not {', '.join(columns.others)}")
    for part, rows in parts.items():
        if rows.unlabelled:
            notes.append(f"left out {rows.unlabelled} images of {part} with label -1 (none)")
    # A part without any label is not used, such as the hidden test set of a competition.
    parts = {part: rows for part, rows in parts.items() if rows.images or not rows.unlabelled}
    if "train" not in parts or len(parts) < 2:
        lacking = "test" if "train" in parts else "training"
        raise DataError(
            f"'{name}': all {lacking} images have label -1, which is none; add shards with labels"
        )
    splits = _decoded(name, parts, fit)
    called = {part: paths[0].name for part, paths in shards.items()}
    test, validation, more = assign_roles(splits, called)
    classes = _classes(name, parts["train"])
    assert test is not None  # `parts` has another part than train
    made = natural_images(name, splits["train"], test, classes, validation=validation)
    return dataclasses.replace(made, notes=(*more, *notes))


def _decoded(name: str, parts: dict[str, _Rows], fit: Fit) -> dict[str, Split]:
    for part, rows in parts.items():
        if not rows.images:
            raise DataError(f"'{name}': the {part} shards hold no rows")
    images = decode_images([image for rows in parts.values() for image in rows.images], fit)
    splits, start = {}, 0
    for part, rows in parts.items():
        splits[part] = Split(images[start : start + len(rows.labels)], rows.labels)
        start += len(rows.labels)
    return splits


def _classes(name: str, train: _Rows) -> tuple[str, ...]:
    largest = int(train.labels.max(initial=-1))
    if train.columns.classes is None and largest >= max(1000, len(train.labels)):
        raise DataError(  # an id, most likely
            f"'{name}': labels must be 0..k-1, but one is {largest} among "
            f"{len(train.labels)} images; name the label column 'label'"
        )
    return train.columns.classes or tuple(str(label) for label in range(largest + 1))


def _check_alike(name: str, parts: dict[str, _Rows]) -> None:
    """Check that one label means the same class in every part."""
    train = parts["train"].columns
    for part, rows in parts.items():
        if None not in (train.classes, rows.columns.classes) and (
            train.classes != rows.columns.classes
        ):
            raise DataError(
                f"'{name}': the shards of train and {part} number the classes differently in "
                "their metadata; write them again from one dataset"
            )
        if train.label != rows.columns.label:
            raise DataError(
                f"'{name}': the labels of train are in column '{train.label}', those of {part} in "
                f"'{rows.columns.label}'; name them alike"
            )


def _read_all(shards: list[Path]) -> _Rows:
    parts = {str(shard): _read(shard) for shard in shards}
    first = next(iter(parts.values()))
    for shard, rows in parts.items():
        _check_alike(shard, {"train": first, "this shard": rows})
    images = [image for rows in parts.values() for image in rows.images]
    labels = np.concatenate([rows.labels for rows in parts.values()])
    has_label = labels != -1
    if not first.columns.declared and has_label.any():
        # Without the hub's metadata, -1 may be a wrongly numbered class, which is refused later.
        has_label[:] = True
    kept = [image for image, has in zip(images, has_label, strict=True) if has]
    return _Rows(kept, labels[has_label], int((~has_label).sum()), first.columns)


def _read(shard: Path) -> _Rows:
    if not shard.is_file():
        raise DataError(f"{shard}: is not a regular file; remove it")
    try:
        columns = find_columns(pq.read_schema(shard), shard)
        table = pq.ParquetFile(shard).read(columns=[columns.image, columns.label])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{shard}: cannot be read as Parquet ({reason}); download it again"
        ) from error
    label_column = table.column(columns.label)
    if label_column.null_count:
        raise DataError(f"{shard}: column '{columns.label}' has empty labels; remove those rows")
    labels = label_column.to_numpy().astype(np.int64)
    return _Rows(_encoded(table.column(columns.image), shard), labels, 0, columns)


def _encoded(column: pa.ChunkedArray, shard: Path) -> list[EncodedImage]:
    encoded = []
    for row, value in enumerate(column.to_pylist()):
        content = value["bytes"] if isinstance(value, dict) else value
        if content is None:
            raise DataError(f"{shard}: row {row} has no image bytes; remove it")
        encoded.append(EncodedImage(content, f"{shard}, row {row}"))
    return encoded
