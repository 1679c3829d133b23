"""Parquet shards in the layout of the Hugging Face hub: encoded images and integer labels."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimtune.errors import DataError
from slimtune.workload.sources.assembly import natural_images
from slimtune.workload.sources.decoding import EncodedImage, decode_images
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.types import Dataset, Split

_TEST_NAMES = ("test", "validation", "valid", "val")
_NUMBER = re.compile(r"-(?P<index>\d+)-of-(?P<count>\d+)")
_MOST_SHARDS = 10_000  # beyond it the "number" is something else
_Rows = tuple[list[EncodedImage], np.ndarray, tuple[str, ...] | None]


@SOURCES.register("parquet")
def load_parquet(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``DIR/*.parquet``, split by the words train and test in the file names.

    Without a test shard, validation, valid or val serves. The image column is a struct with
    ``bytes`` or plain binary, the label column an integer; of several, ``img``, ``image``,
    ``label`` and ``fine_label`` are preferred. Class names come from the hub's metadata in
    the schema, else they are "0".."k-1". Images of other sizes are resized to the first.

    Args:
        argument: the folder that holds the shards.
        fit: what the images shall be brought to.

    Raises:
        DataError: a missing folder, shard or column, a damaged shard or image, or labels that
            are not 0..k-1.
    """
    shards = _shards(argument)
    train, train_labels, names = _read_all(_of_split(shards, argument, ("train",)))
    test, test_labels, _ = _read_all(_of_split(shards, argument, _TEST_NAMES))
    largest = int(train_labels.max(initial=-1))
    if not names and largest >= max(1000, len(train_labels)):  # an id, most likely
        raise DataError(
            f"'parquet:{argument}': labels must be 0..k-1, but one is {largest} among "
            f"{len(train_labels)} images; name the label column 'label'"
        )
    classes = names or tuple(str(label) for label in range(largest + 1))
    name = f"parquet:{argument}"
    if not train or not test:
        raise DataError(f"'{name}': the {'test' if train else 'train'} shards hold no rows")
    images = decode_images(train + test, fit)
    border = len(train)
    return natural_images(
        name, Split(images[:border], train_labels), Split(images[border:], test_labels), classes
    )


def _shards(argument: str) -> list[Path]:
    if not argument:
        raise DataError("'parquet' needs a directory after its name, such as parquet:data/cifar10")
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist or is not a folder; check the path")
    shards = sorted(folder.glob("*.parquet"))
    if not shards:
        deeper = next(iter(sorted(folder.rglob("*.parquet"))), None)
        hint = f"did you mean {deeper.parent}?" if deeper else "check the path"
        raise DataError(f"folder {folder} has no .parquet files; {hint}")
    return shards


def _of_split(shards: list[Path], argument: str, names: tuple[str, ...]) -> list[Path]:
    for name in names:
        word = re.compile(rf"(?<![a-z]){name}(?![a-z])", re.IGNORECASE)
        found = [path for path in shards if word.search(path.stem)]
        if found:
            _check_complete(found)
            return found
    raise DataError(
        f"folder {argument}: no .parquet file is named {' or '.join(names)}; rename the shards, "
        f"such as {names[0]}-00000-of-00001.parquet"
    )


def _check_complete(shards: list[Path]) -> None:
    # The hub numbers its shards, so a download that stopped half-way can be told apart.
    present = {path.name for path in shards}
    for path in shards:
        numbered = _NUMBER.search(path.name)
        count = int(numbered["count"]) if numbered else 0
        if numbered is None or count > _MOST_SHARDS:
            continue
        for index in range(count):
            number = f"-{index:0{len(numbered['index'])}d}-of-{numbered['count']}"
            wanted = path.name.replace(numbered[0], number)
            if wanted not in present:
                raise DataError(f"{path.parent}: shard {wanted} is missing; download it too")


def _read_all(shards: list[Path]) -> _Rows:
    images: list[EncodedImage] = []
    labels: list[np.ndarray] = []
    names = None
    for shard in shards:
        shard_images, shard_labels, names = _read(shard)
        images += shard_images
        labels.append(shard_labels)
    return images, np.concatenate(labels), names


def _read(shard: Path) -> _Rows:
    try:
        schema = pq.read_schema(shard)
        image_name, label_name = _image_column(schema, shard), _label_column(schema, shard)
        table = pq.ParquetFile(shard).read(columns=[image_name, label_name])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{shard}: cannot be read as Parquet ({reason}); download it again"
        ) from error
    label_column = table.column(label_name)
    if label_column.null_count:
        raise DataError(f"{shard}: column '{label_name}' has empty labels; remove those rows")
    labels = label_column.to_numpy().astype(np.int64)
    return _encoded(table.column(image_name), shard), labels, _class_names(schema, label_name)


def _image_column(schema: pa.Schema, shard: Path) -> str:
    found = [field.name for field in schema if _holds_bytes(field.type)]
    return _preferred(found, ("img", "image"), schema, f"{shard}: no column of image bytes")


def _label_column(schema: pa.Schema, shard: Path) -> str:
    found = [field.name for field in schema if pa.types.is_integer(field.type)]
    rule = f"{shard}: no column of integer labels"
    return _preferred(found, ("label", "fine_label"), schema, rule)


def _preferred(found: list[str], names: tuple[str, ...], schema: pa.Schema, rule: str) -> str:
    if not found:
        raise DataError(f"{rule}; it has {', '.join(map(str, schema.names)) or 'no columns'}")
    return next((name for name in names if name in found), found[0])


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _encoded(column: pa.ChunkedArray, shard: Path) -> list[EncodedImage]:
    encoded = []
    for row, value in enumerate(column.to_pylist()):
        content = value["bytes"] if isinstance(value, dict) else value
        if content is None:
            raise DataError(f"{shard}: row {row} has no image bytes; remove it")
        encoded.append(EncodedImage(content, f"{shard}, row {row}"))
    return encoded


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    try:
        metadata = json.loads((schema.metadata or {})[b"huggingface"])
        names = metadata["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return None  # the hub's metadata is a courtesy; without it classes are numbered
    return tuple(map(str, names)) if isinstance(names, list) and names else None
