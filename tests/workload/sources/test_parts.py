from pathlib import Path

import pytest

from slimtune.errors import DataError
from slimtune.workload.sources.parts import (
    SkippedFiles,
    assign_roles,
    one_name_a_part,
    part_of,
    parts_in,
    some,
)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("train", "train Train TRAINING"),
        ("val", "val valid Validation VAL dev Dev"),
        ("test", "test Testing TEST"),
    ],
)
def test_a_part_has_several_words_in_any_case(part: str, words: str) -> None:
    assert {part_of(word) for word in words.split()} == {part}


@pytest.mark.parametrize("word", ["", "trainer", "latest", "tests", "val2", "evaluation", "tr"])
def test_no_other_word_names_a_part(word: str) -> None:
    assert part_of(word) is None


def test_whole_words_of_a_name_count() -> None:
    assert parts_in("cifar10-train_00000-of-00001-deadbeef") == {"train"}
    assert parts_in("my.dev-set") == {"val"}
    assert parts_in("contest-latest") == set()
    assert parts_in("train_dev-0") == {"train", "val"}


def test_two_names_for_one_part_are_refused() -> None:
    assert one_name_a_part(["Test", "train", "extra"], "x") == {"test": "Test", "train": "train"}
    with pytest.raises(DataError, match=r"x: 'valid' and 'validation' both name the val part"):
        one_name_a_part(["validation", "train", "valid"], "x")
    with pytest.raises(DataError, match="'Train' and 'train'"):
        one_name_a_part(["train", "Train"], "x")


def test_a_validation_part_alone_is_tested_on_and_that_is_told() -> None:
    called = {"train": "train", "val": "dev", "test": "test"}
    assert assign_roles({"train": 1, "val": 2, "test": 3}, called) == (3, 2, [])
    assert assign_roles({"train": 1, "test": 3}, called) == (3, None, [])
    test, selected, notes = assign_roles({"train": 1, "val": 2}, called)
    assert (test, selected) == (2, None) and notes == [
        "'dev' is the test part, because there is no other"
    ]
    test, selected, notes = assign_roles({"train": 1}, called)
    assert (test, selected) == (None, None) and "20 % of the training images" in notes[0]


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    deep = tmp_path / "extra" / "deep"
    deep.mkdir(parents=True)
    files = [deep / "a.png", tmp_path / "extra" / "b.png"]
    files += [tmp_path / name for name in ("x.GIF", "y.gif", "README", "z.txt")]
    left = SkippedFiles(tmp_path)
    assert left.notes() == []
    for path in files:
        path.touch()
    for path in sorted(tmp_path.iterdir()):
        left.add(path)
    assert left.notes() == [
        "left out folder extra/ (2 files)",
        "left out 4 files of other kinds: .gif 2, no suffix 1, .txt 1",
    ]


def test_long_lists_are_cut() -> None:
    assert some("shard", ["a"]) == "shard a"
    assert some("shard", list("abcdefg")) == "7 shards: a, b, c, d, e and 2 more"
