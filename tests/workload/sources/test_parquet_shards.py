import re
from pathlib import Path

import pytest

from slimtune.errors import DataError
from slimtune.workload.sources.parquet_shards import find_shards


def files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_shards(str(folder))
    return str(caught.value)


def found(folder: Path) -> dict[str, list[str]]:
    shards, _ = find_shards(str(folder))
    return {part: [path.name for path in paths] for part, paths in shards.items()}


@pytest.mark.parametrize("word", ["val", "Valid", "VALIDATION", "dev"])
def test_every_word_of_a_part_is_known(tmp_path: Path, word: str) -> None:
    files(tmp_path, f"set-{word}-0.parquet", "Training.parquet", "testing_1.parquet")
    assert found(tmp_path) == {
        "train": ["Training.parquet"],
        "test": ["testing_1.parquet"],
        "val": [f"set-{word}-0.parquet"],
    }


def test_each_shard_may_carry_a_hash_of_its_own(tmp_path: Path) -> None:
    names = ["train-00000-of-00002-0a1b.parquet", "train-00001-of-00002-99aa.parquet"]
    files(tmp_path, *names, "test-00000-of-00001-12ff.parquet")
    assert found(tmp_path)["train"] == names
    (tmp_path / names[0]).unlink()
    assert "shard train-00000-of-00002-….parquet is missing; download it too" in refusal(tmp_path)


def test_two_configurations_side_by_side_are_complete_each_for_itself(tmp_path: Path) -> None:
    files(tmp_path, "a-train-00000-of-00001.parquet", "b-train-00000-of-00002.parquet")
    files(tmp_path, "test.parquet")
    assert "shard b-train-00001-of-00002.parquet is missing" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00001-aa", "train-00000-of-00001-bb"], "has the same number"),
        (["train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"],
         "numbered of 1 and of 2; remove those of the older"),
        (["train", "valid-0", "validation-0"], "both name the val part, by different words"),
        (["train", "train-test"], "means more than one part (test, train)"),
        (["train/0", "Training/0"], "'Training' and 'train' both name the train part"),
        (["train-0", "training/0"], "both name the train part, by different words"),
    ],
)  # fmt: skip
def test_files_that_contradict_each_other_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    files(tmp_path, "test.parquet", *(f"{name}.parquet" for name in names))
    assert re.search(re.escape(message), refusal(tmp_path))


def test_folders_may_name_the_parts(tmp_path: Path) -> None:
    files(tmp_path, "train/0000.parquet", "train/0001.parquet", "Validation/0000.parquet")
    assert found(tmp_path) == {
        "train": ["0000.parquet", "0001.parquet"], "val": ["0000.parquet"]
    }  # fmt: skip


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    files(tmp_path, "train.parquet", "test.parquet", "extra.parquet", "README.md", ".hidden")
    files(tmp_path, "masks/0.png", "masks/1.png")
    _, notes = find_shards(str(tmp_path))
    assert notes == [
        "left out shard extra.parquet, named for no part",
        "left out folder masks/ (2 files)",
        "left out 1 file of other kinds: .md 1",
    ]
