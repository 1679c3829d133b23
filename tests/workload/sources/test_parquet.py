import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimtune.errors import DataError
from slimtune.workload.datasets import load_dataset

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "cifar10"


def png(level, size=(8, 8)):
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), level, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def structs(levels):
    return [{"bytes": png(level), "path": None} for level in levels]


def write(folder, name, columns, names=None):
    table = pa.table(columns)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        metadata = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, folder / name)


@pytest.fixture
def shards(tmp_path):
    """Four images to learn from, in two shards, and two to test; the level is the image."""
    parts = [
        ("train-00000-of-00002.parquet", [1, 2], [0, 1]),
        ("train-00001-of-00002.parquet", [3, 4], [1, 0]),
        ("test-00000-of-00001.parquet", [5, 6], [1, 0]),
    ]
    for name, levels, labels in parts:
        write(tmp_path, name, {"img": structs(levels), "label": labels}, ["cat", "dog"])
    return tmp_path


def refusal(folder):
    with pytest.raises(DataError) as caught:
        load_dataset(f"parquet:{folder}")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def levels(split):
    return split.images[:, 0, 0, 0].tolist()


def pair(folder, train, test=None):
    write(folder, "train.parquet", train)
    write(folder, "test.parquet", test or train)
    return load_dataset(f"parquet:{folder}")


def test_shards_are_joined_in_order(shards):
    dataset = load_dataset(f"parquet:{shards}")
    assert dataset.name == f"parquet:{shards}" and dataset.classes == ("cat", "dog")
    assert levels(dataset.train) == [1, 2, 3, 4] and dataset.train.labels.tolist() == [0, 1, 1, 0]
    assert levels(dataset.test) == [5, 6] and dataset.test.labels.tolist() == [1, 0]
    assert dataset.image_shape == (3, 8, 8) and dataset.train.labels.dtype == np.int64


def test_columns_are_found_by_type(tmp_path):
    columns = {"key": ["a", "b"], "pixels": [png(1), png(2)], "kind": pa.array([1, 0], pa.uint8())}
    dataset = pair(tmp_path, columns)
    assert levels(dataset.train) == [1, 2] and dataset.train.labels.tolist() == [1, 0]


def test_the_usual_names_are_preferred(tmp_path):
    columns = {
        "thumbnail": structs([8, 9]),
        "image": structs([1, 2]),
        "coarse_label": [0, 0],
        "fine_label": [1, 0],
    }
    dataset = pair(tmp_path, columns)
    assert levels(dataset.train) == [1, 2] and dataset.train.labels.tolist() == [1, 0]


@pytest.mark.parametrize("metadata", [None, b"", b"{", b"[]", b'{"info": {"features": {}}}'])
def test_without_usable_metadata_classes_are_numbered(tmp_path, metadata):
    table = pa.table({"img": structs([1, 2, 3]), "label": [0, 1, 2]})
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": metadata})
    for name in ("train.parquet", "test.parquet"):
        pq.write_table(table, tmp_path / name)
    assert load_dataset(f"parquet:{tmp_path}").classes == ("0", "1", "2")


@pytest.mark.parametrize("name", ["validation-00000-of-00001", "valid", "my_val"])
def test_validation_serves_where_there_is_no_test(shards, name):
    (shards / "test-00000-of-00001.parquet").rename(shards / f"{name}.parquet")
    assert levels(load_dataset(f"parquet:{shards}").test) == [5, 6]


def test_test_is_used_where_both_are(shards):
    write(shards, "validation.parquet", {"img": structs([9]), "label": [0]})
    assert levels(load_dataset(f"parquet:{shards}").test) == [5, 6]


def test_a_word_inside_another_names_no_split(tmp_path):
    for name in ("trainer.parquet", "latest.parquet"):
        write(tmp_path, name, {"img": structs([1, 2]), "label": [0, 1]})
    assert "no .parquet file is named train" in refusal(tmp_path)


def test_a_folder_without_shards_is_refused(tmp_path):
    assert "has no .parquet files; check the path" in refusal(tmp_path)


def test_shards_in_a_sub_folder_are_pointed_at(shards):
    (shards / "plain_text").mkdir()
    for path in shards.glob("*.parquet"):
        path.rename(shards / "plain_text" / path.name)
    assert f"did you mean {shards / 'plain_text'}?" in refusal(shards)


@pytest.mark.parametrize(("split", "named"), [("train", "train"), ("test", "test or validation")])
def test_a_missing_split_is_refused(shards, split, named):
    for path in shards.glob(f"{split}-*"):
        path.unlink()
    assert f"no .parquet file is named {named}" in refusal(shards)


def test_a_shard_that_was_not_downloaded_is_named(shards):
    (shards / "train-00000-of-00002.parquet").unlink()
    assert "shard train-00000-of-00002.parquet is missing" in refusal(shards)


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.99])
def test_a_truncated_shard_is_refused_with_its_path(shards, kept):
    path = shards / "train-00001-of-00002.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert f"{path}: cannot be read as Parquet" in refusal(shards)


def test_damaged_pages_are_refused_with_the_path_of_the_shard(shards):
    path = shards / "train-00001-of-00002.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    assert str(path) in refusal(shards)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 1]}, "no column of image bytes; it has label"),
        ({"img": structs([1, 2])}, "no column of integer labels; it has img"),
        ({"img": ["a.png", "b.png"], "label": [0, 1]}, "no column of image bytes"),
        ({"img": structs([1, 2]), "label": [0.0, 1.0]}, "no column of integer labels"),
        ({"img": structs([1, 2]), "label": [0, None]}, "column 'label' has empty labels"),
        ({"img": [*structs([1]), None], "label": [0, 1]}, "row 1 has no image bytes"),
        ({"img": [png(1), b"no png"], "label": [0, 1]}, "train.parquet, row 1: cannot be read"),
        ({"img": structs([1, 2]), "label": [0, 2]}, "no training image has label 1"),
        ({"img": structs([1, 2]), "label": [0, 10**12]}, "labels must be 0..k-1, but one is 1000"),
        ({"img": structs([1, 2]), "label": [0, -1]}, "at least 2 classes"),
        ({"img": structs([1, 2, 3]), "label": [0, 1, -1]}, "train has -1"),
        ({"img": structs([1, 2]), "label": [0, 0]}, "at least 2 classes, but has 1"),
    ],
)
def test_rows_that_break_a_rule_are_refused(tmp_path, columns, message):
    write(tmp_path, "train.parquet", columns)
    write(tmp_path, "test.parquet", {"img": structs([1, 2]), "label": [0, 1]})
    assert message in refusal(tmp_path)


def test_a_shard_without_rows_is_refused(tmp_path):
    nothing = {"img": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}
    write(tmp_path, "train.parquet", nothing)
    write(tmp_path, "test.parquet", nothing)
    assert "the train shards hold no rows" in refusal(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"CIFAR-10 is not in {SHARED}")
def test_cifar10_in_the_layout_of_the_hub_is_read_whole():
    dataset = load_dataset(f"parquet:{SHARED}")
    assert dataset.train.images.shape == (50_000, 32, 32, 3) and len(dataset.test) == 10_000
    assert np.bincount(dataset.train.labels).tolist() == [5_000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1_000] * 10
    assert dataset.classes[0] == "airplane" and dataset.classes[9] == "truck"
    # The published mean of CIFAR-10's training pixels, per channel.
    means = dataset.train.images.mean((0, 1, 2)) / 255
    np.testing.assert_allclose(means, (0.4914, 0.4822, 0.4465), atol=5e-5)


def test_all_three_parts_are_used(shards):
    write(shards, "validation.parquet", {"img": structs([9, 8, 7]), "label": [0, 1, 1]})
    dataset = load_dataset(f"parquet:{shards}")
    assert levels(dataset.validation) == [9, 8, 7] and levels(dataset.test) == [5, 6]
    assert dataset.notes == ()


def test_a_test_part_without_labels_is_left_out_and_counted(shards):
    write(shards, "test-00000-of-00001.parquet", {"img": structs([5, 6]), "label": [-1, -1]})
    assert "all test images have label -1" in refusal(shards)
    write(shards, "valid.parquet", {"img": structs([9]), "label": [0]})
    dataset = load_dataset(f"parquet:{shards}")
    assert levels(dataset.test) == [9] and dataset.validation is None
    assert dataset.notes == (
        "'valid.parquet' is the test part, because there is no other",
        "left out 2 images of test with label -1 (none)",
    )


def test_rows_without_a_label_are_left_out_where_the_hub_declares_the_column(tmp_path):
    columns = {"img": structs([1, 2, 3, 4]), "label": [0, -1, 1, -1]}
    write(tmp_path, "train.parquet", columns, ["cat", "dog"])
    write(tmp_path, "test.parquet", {"img": structs([5]), "label": [0]}, ["cat", "dog"])
    dataset = load_dataset(f"parquet:{tmp_path}")
    assert levels(dataset.train) == [1, 3] and dataset.train.labels.tolist() == [0, 1]
    assert dataset.notes == ("left out 2 images of train with label -1 (none)",)


def test_shards_that_number_the_classes_otherwise_are_refused(tmp_path):
    columns = {"img": structs([1, 2]), "label": [0, 1]}
    write(tmp_path, "train.parquet", columns, ["cat", "dog"])
    write(tmp_path, "test.parquet", columns, ["dog", "cat"])
    assert "train and test number the classes differently" in refusal(tmp_path)


def test_the_column_that_is_not_taken_is_told(tmp_path):
    columns = {"img": structs([1, 2]), "coarse_label": [0, 0], "fine_label": [0, 1]}
    features = {n: {"names": ["a", "b"], "_type": "ClassLabel"} for n in list(columns)[1:]}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for part in ("train", "test"):
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, tmp_path / f"{part}.parquet")
    dataset = load_dataset(f"parquet:{tmp_path}")
    assert dataset.train.labels.tolist() == [0, 1]
    assert dataset.notes == ("labels are of column 'fine_label', not coarse_label",)


def test_a_pipe_that_is_named_like_a_shard_is_refused(shards):
    os.mkfifo(shards / "train-00002.parquet")
    assert "train-00002.parquet: is not a regular file" in refusal(shards)
