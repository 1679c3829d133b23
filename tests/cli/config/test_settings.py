from pathlib import Path

import pytest

from slimtune.cli.config.settings import parse_assignments, search_config
from slimtune.errors import ConfigError, UnknownNameError, UserError


def write(folder: Path, text: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(text)
    return path


def test_an_option_counts_before_set_before_the_file_before_the_preset_before_the_default(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, "trials: 3\nseed: 3\nmodel: resnet8\n")
    options = {"trials": 5, "seed": None}
    config = search_config(options, ["trials=4", "seed=4"], file=file, preset="demo")
    assert config.trials == 5  # option
    assert config.seed == 4  # --set
    assert config.model == "resnet8"  # file
    assert config.data == "digits"  # preset
    assert config.executor == "ray"  # default


def test_dotted_options_and_assignments_reach_nested_settings() -> None:
    config = search_config(
        {"space.train.epochs": 2, "validation.source": "train"}, ["baseline.lr=1e-3"]
    )
    assert config.space == {"train": {"epochs": 2}}
    assert config.validation.source == "train"
    assert config.baseline.lr == 1e-3


def test_an_assignment_beside_a_group_of_the_file_leaves_the_rest_of_the_group(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, "space:\n  prune: {method: [l1]}\n  train: {epochs: 1, lr: 0.01}\n")
    config = search_config({}, ["space.train.epochs=2"], file=file)
    assert config.space == {"prune": {"method": ["l1"]}, "train": {"epochs": 2, "lr": 0.01}}


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("seed: 1\ntrails: 2\n", 2, "unknown key 'trails'. Did you mean 'trials'?"),
        ("trials: 1\n\nseed: many\n", 3, "seed: must be a valid integer"),
        ("space:\n  prune:\n    amount: [0.9, 0.1]\n", 3, "low 0.9 is above high 0.1"),
        ("validation:\n  sauce: train\n", 2, "Did you mean 'source'?"),
        ("space:\n  prune:\n    method: [l1, taylr]\n", 3, "unknown method 'taylr'"),
    ],
)
def test_a_wrong_setting_in_a_file_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, rule: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        search_config({}, file=file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert rule in str(caught.value)


def test_a_wrong_assignment_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "space:\n  train: {epochs: 1}\n")
    with pytest.raises(UserError) as caught:
        search_config({}, ["space.train.lr=-1"], file=file)
    assert str(file) not in str(caught.value)


def test_an_unknown_preset_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "trials: 1\n")
    with pytest.raises(UnknownNameError) as caught:
        search_config({}, file=file, preset="dmo")
    assert "Did you mean 'demo'?" in str(caught.value)
    assert str(file) not in str(caught.value)


@pytest.mark.parametrize("text", ["trials", "=3", " =3"])
def test_an_assignment_without_a_key_and_a_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="needs KEY=VALUE"):
        parse_assignments([text])


def test_the_value_of_an_assignment_may_hold_an_equals_sign() -> None:
    assert parse_assignments(["data=folder:a=b", "x=[1, 2]"]) == {
        "data": "folder:a=b",
        "x": [1, 2],
    }


def test_null_takes_away_what_a_run_or_a_preset_sets(tmp_path: Path) -> None:
    run = {"model": "resnet8", "data": "digits", "time_budget": "10m", "trials": 7}
    assert search_config({}, ["time_budget=null"], run=run).time_budget is None
    assert search_config({"trials": None}, run=run).trials == 7  # an option that was not given
    file = write(tmp_path, "trials: null\n")
    assert search_config({}, [], file=file, preset="demo").trials is None
    file = write(tmp_path, "trials: 3\n")
    assert search_config({}, ["trials=null"], file=file, preset="demo").trials is None


def test_null_of_a_setting_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"c.yaml:1: trails: .* Did you mean 'trials'"):
        search_config({}, file=write(tmp_path, "trails: null\n"))
