import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimtune.cli.config.config_file import (
    MAX_BYTES,
    dump_yaml,
    load_yaml,
    parse_value,
    with_location,
)
from slimtune.errors import ConfigError, UnknownNameError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "cfg.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(folder: Path, text: str | bytes) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_values_and_the_line_of_every_key(tmp_path: Path) -> None:
    path = write(tmp_path, "# note\ntrials: 5\nspace:\n  train:\n    lr: [1e-3, 0.1]\n")
    data, lines = load_yaml(path)
    assert data == {"trials": 5, "space": {"train": {"lr": [1e-3, 0.1]}}}
    assert lines == {
        "trials": 2,
        "space": 3,
        "space.train": 4,
        "space.train.lr": 5,
        "space.train.lr.0": 5,
        "space.train.lr.1": 5,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("7", 7),
        ("-7", -7),
        ("+0", 0),
        ("true", True),
        ("null", None),
        ("none", "none"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("'1e-3'", "1e-3"),
        ("[none, l1]", ["none", "l1"]),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    read = parse_value(text, "key")
    assert read == value
    assert type(read) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float_survives_as_python_prints_it(value: float) -> None:
    read = parse_value(repr(value), "key")
    assert isinstance(read, float)
    assert read == value


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), PLAIN, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_whatever_is_dumped_is_read_back(tmp_path: Path, data: dict[str, object]) -> None:
    path = write(tmp_path, dump_yaml(data))
    assert load_yaml(path)[0] == data


def check_total(path: Path) -> None:
    try:
        data, _ = load_yaml(path)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(data, dict)


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_bytes_give_a_mapping_or_one_line(tmp_path: Path, content: bytes) -> None:
    check_total(write(tmp_path, content))


@given(st.text("[]{}:,-&*!|>'\"#%@ \n\tax1.", max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_any_yaml_like_text_gives_a_mapping_or_one_line(tmp_path: Path, text: str) -> None:
    check_total(write(tmp_path, text))


def test_a_duplicate_key_is_refused_with_both_lines(tmp_path: Path) -> None:
    message = refusal(tmp_path, "trials: 1\nseed: 2\ntrials: 3\n")
    assert message == ":3:1: duplicate key 'trials' (first set on line 1)"


def test_a_duplicate_key_in_a_nested_mapping_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a:\n  b: 1\n  b: 2\n").startswith(":3:3: duplicate key 'b'")


def test_a_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    message = refusal(tmp_path, "a: 1\nb: [1\nc: 2\n")
    assert message.startswith(":3:2: expected ',' or ']'")


@pytest.mark.parametrize(
    "text",
    ["a: !!python/object/apply:os.system [ls]", "a: !!python/name:os.system", "a: !mine 1"],
)
def test_a_tag_is_refused_and_nothing_is_run(tmp_path: Path, text: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(":1:4: tag ")
    assert message.endswith("is not allowed in a config")


@pytest.mark.parametrize("text", ["a: .nan", "a: [.inf]", "a: {b: -.INF}", "a: 1e999"])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, text: str) -> None:
    assert "must be a finite number" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "kind"), [("", "nothing"), ("# only\n", "nothing"), ("- a\n", "list"), ("5", "int")]
)
def test_a_top_level_that_is_no_mapping_is_refused(tmp_path: Path, text: str, kind: str) -> None:
    assert refusal(tmp_path, text) == f":1: expected a mapping of settings, got {kind}"


@pytest.mark.parametrize("text", ["1: 2", "[a]: 2", "{a: 1}: 2", "~: 2", "true: 2"])
def test_a_key_that_is_no_word_is_refused(tmp_path: Path, text: str) -> None:
    assert "a key must be a word" in refusal(tmp_path, text)


def test_a_bomb_of_aliases_is_refused_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "too large or too many aliases" in refusal(tmp_path, "\n".join(lines))


def test_an_alias_that_contains_itself_is_refused(tmp_path: Path) -> None:
    assert "contains itself" in refusal(tmp_path, "a: &a [*a]")


def test_a_few_aliases_are_allowed(tmp_path: Path) -> None:
    assert load_yaml(write(tmp_path, "a: &a [1]\nb: *a\n"))[0] == {"a": [1], "b": [1]}


def test_a_file_above_one_mebibyte_is_refused(tmp_path: Path) -> None:
    assert "at most 1 MiB" in refusal(tmp_path, b"#" * (MAX_BYTES + 1))


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    assert "nested too deeply" in refusal(tmp_path, "a: " + "[" * 3000)


def test_bytes_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    assert "is not UTF-8 text (byte 3)" in refusal(tmp_path, b"a: \xff")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert load_yaml(write(tmp_path, b"\xef\xbb\xbfa: 1\n"))[0] == {"a": 1}


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        load_yaml(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        load_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ("trails: unknown key", "f.yaml:2: "),
        ("space.train.lr: low 1 is above high 0", "f.yaml:5: "),
        ("space.train.epochs: must be more", "f.yaml:4: "),
        ("space: wrong", "f.yaml:3: "),
        ("nothing to do with a key", "f.yaml: "),
        ("spaced.train: another word", "f.yaml: "),
    ],
)
def test_an_error_gets_the_line_of_the_longest_part_of_its_key(message: str, where: str) -> None:
    lines = {"trails": 2, "space": 3, "space.train": 4, "space.train.lr": 5}
    error = with_location(UnknownNameError(message), Path("f.yaml"), lines)
    assert type(error) is UnknownNameError
    assert str(error) == where + message


def test_a_value_of_set_is_refused_under_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^--set train\.lr:1:1: must be a finite number"):
        parse_value(".inf", "train.lr")
    assert math.isclose(parse_value("2.5", "train.lr"), 2.5)
