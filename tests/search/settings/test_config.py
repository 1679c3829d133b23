from pathlib import Path
from typing import Any

import pytest

from slimtune.errors import ConfigError, UserError
from slimtune.search.settings.config import SearchConfig, make_config


def test_options_win_over_the_preset_which_wins_over_the_defaults() -> None:
    config = make_config({"trials": 3, "space": {"train": {"epochs": 1}}}, preset="demo")
    assert config.trials == 3 and config.model == "resnet8x2"
    assert config.space["train"]["epochs"] == 1 and config.space["train"]["batch_size"] == 64


def test_none_takes_away_what_the_run_or_the_preset_sets() -> None:
    assert make_config({"trials": None}, preset="demo").trials is None
    assert make_config({"seed": None}).seed == 0  # the default, also where None is no value
    assert make_config({"validation": {"fraction": None}}).validation.fraction is None
    run = {"time_budget": "10m", "trials": 7, "final": {"epochs": 9, "repeats": 2}}
    again = make_config({"time_budget": None, "final": {"epochs": None}}, run=run)
    assert (again.time_budget, again.trials) == (None, 7)
    assert (again.final.epochs, again.final.repeats) == (None, 2)
    assert make_config({"final": None}, run=run).final == SearchConfig().final
    whole = make_config({"space": {"train": {"batch_size": None}}}, preset="demo").space
    assert "batch_size" not in whole["train"] and "epochs" in whole["train"]


def test_a_stored_config_reads_back_equal() -> None:
    config = make_config({"trials": 7, "seed": 3}, preset="demo")
    assert make_config(config.model_dump(mode="json")) == config


def test_validation_comes_from_test_when_weights_are_given() -> None:
    assert SearchConfig().validation_source == "train"
    assert SearchConfig(weights="x.th").validation_source == "test"
    assert SearchConfig(weights="x.th").validation_fraction == 0.5
    chosen = make_config({"weights": "x.th", "validation": {"source": "train", "fraction": 0.1}})
    assert (chosen.validation_source, chosen.validation_fraction) == ("train", 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, "trials: must be greater than or equal to 1, but got 0"),
        ({"trials": "many"}, "trials: must be a valid integer"),
        ({"trails": 5}, "trails: unknown key 'trails'. Did you mean 'trials'"),
        ({"seed": -1}, "seed: must be greater than or equal to 0"),
        ({"executor": "slurm"}, "executor: must be 'ray' or 'inline'"),
        ({"validation": {"fraction": 1.0}}, "validation.fraction: must be less than 1"),
        ({"trails": None}, "trails: unknown key 'trails'. Did you mean 'trials'"),
        ({"validation": {"fractoin": None}}, "validation.fractoin: .*Did you mean 'fraction'"),
        ({"validation": {"fractoin": 0.5}}, "validation.fractoin: .*Did you mean 'fraction'"),
        ({"baseline": {"lr": 0}}, "baseline.lr: must be greater than 0"),
        ({"objectives": ["accuracy"]}, "objectives"),
        ({"objectives": ["accuracy", "lat"]}, "unknown objective 'lat'"),
        ({"space": {"prune": {"amount": 1.0}}}, "space.prune.amount: must be less than 1"),
    ],
)
def test_a_setting_that_breaks_a_rule_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_config(settings)


def test_a_stored_config_is_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(data="folder:data", weights="w.th").anchored()
    assert config.data == f"folder:{tmp_path / 'data'}"
    assert config.weights == str(tmp_path / "w.th")
    assert SearchConfig(data="digits").anchored().data == "digits"


GRID = {
    "prune": {"method": ["none", "l1"], "amount": [0.25, 0.5, 0.75]},
    "quantize": {"method": "int8_static"},
    "distill": {"method": "none"},
    "train": {"lr": 0.01},
}


def test_a_grid_has_as_many_trials_as_points_times_seeds() -> None:
    grid = make_config({"sampler": "grid", "space": {**GRID, "order": "ppq"}})
    scopes = 2  # local and global, as the space does not say
    assert grid.total_trials() == 1 + 3 * scopes
    assert grid.model_copy(update={"seeds": (0, 1)}).total_trials() == 2 * (1 + 3 * scopes)
    assert grid.model_copy(update={"trials": 4}).total_trials() == 4
    assert make_config({}).total_trials() == 20 and make_config({"trials": 3}).total_trials() == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_weights": "a.th"}, "teacher_weights: the teacher's network is missing"),
        ({"seeds": [1, 2]}, "seeds: only a grid .* but sampler is tpe; use sampler grid"),
        ({"seeds": [-1], "sampler": "grid"}, "seeds.0: must be greater than or equal to 0"),
        (
            {"sampler": "cmaes"},
            "sampler: must be 'tpe', 'nsga2', 'nsga3', .* or 'qmc'",
        ),
        ({"sampler": "grid"}, "space.train.lr: a grid needs a list of values or a step"),
        ({"space": {"order": "qpp"}}, "space.order: must be ppq or spq, but got 'qpp'"),
        ({"space": {"student": {"model": ""}}}, "space.student.model: "),
        ({"space": {"student": {"modle": "a"}}}, "space.student.modle: unknown dimension"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_in_one_line(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(settings)
    assert "\n" not in str(caught.value)


def test_the_teachers_weights_are_anchored_too(tmp_path: Path) -> None:
    config = make_config({"teacher": "resnet56", "teacher_weights": "t.th"}).anchored()
    assert config.teacher_weights == str(Path("t.th").absolute())


def test_a_students_weights_are_anchored_so_that_recipes_can_be_rerun_from_anywhere() -> None:
    space = {"student": {"model": "resnet8", "weights": "s.th"}}
    config = make_config({"space": space}).anchored()
    assert config.space["student"] == {"model": "resnet8", "weights": str(Path("s.th").absolute())}
    several = make_config({"space": {"student": {"model": "resnet8", "weights": ["s.th", None]}}})
    expected = [str(Path("s.th").absolute()), None]
    assert several.anchored().space["student"]["weights"] == expected


def test_a_search_begins_with_the_baseline_and_what_needs_no_training() -> None:
    assert len(make_config({"trials": 40}).points()) == 5
    assert len(make_config({"trials": 14}).points()) == 4
    assert len(make_config({"trials": 400, "sampler": "nsga2"}).points()) == 4  # of a generation
    assert make_config({"trials": 40, "start": "none"}).points() == []
    without = [
        make_config({"trials": 40, "sampler": "qmc"}).points(),
        make_config({"trials": 7}).points(),  # too few to spare one for the baseline
    ]
    for points in without:
        assert [point["quantize.method"] for point in points] == ["gpfq", "int8_static", "gpfq"]


def test_given_recipes_come_first_instead() -> None:
    recipes = [{}, {"prune": {"method": "fpgm", "amount": 0.5}}]
    config = make_config({"trials": 3, "start": recipes})
    points = config.points()
    assert [point["prune.method"] for point in points] == ["none", "fpgm"]
    assert make_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "fast"}, "start: must be auto, none or a list of recipes, but got 'fast'"),
        ({"start": [{"prune": "taylr"}]}, "start.0.prune.method: .*Did you mean 'taylor'"),
        ({"start": [{}], "sampler": "grid"}, "start: a grid runs every recipe"),
        ({"start": [{}, {}], "trials": 1}, "start: has 2 recipes, but trials is 1"),
        ({"constraints": {"max_size": 500}}, "constraints.max_size: give a unit"),
        ({"constraints": {"min_accuracy": 2}}, "constraints.min_accuracy: must be 0..1"),
        ({"time_budget": "soon"}, "time_budget: must be a number and a unit"),
        ({"stop_when_flat": 0}, "stop_when_flat: must be greater than or equal to 1"),
    ],
)
def test_steering_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(settings)
    assert "\n" not in str(caught.value)


def test_the_weights_of_a_start_recipe_are_anchored() -> None:
    student = {"model": "resnet8", "weights": "s.th"}
    config = make_config({"space": {"student": student}, "start": [{"student": student}]})
    anchored = config.anchored()
    assert anchored.start[0]["student"]["weights"] == str(Path("s.th").absolute())
    assert len(anchored.points()) == 1


@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        ({}, True),
        (
            {"sampler": "grid", "space": {"train": {"lr": 0.01}, "distill": {"method": "none"}}},
            False,
        ),
        ({"stopping": False}, False),
        ({"stopping": "off"}, False),
        ({"stopping": True, "sampler": "random"}, True),
    ],
)
def test_trials_are_stopped_early_but_not_in_a_grid(settings: dict[str, Any], stops: bool) -> None:
    if settings.get("sampler") == "grid":
        settings["space"]["prune"] = {"method": "none"}
    assert make_config(settings).stops == stops


@pytest.mark.parametrize("name", ["ppq", "spq", "pruning-kd", "kd-gpfq", "l1-kd-int8"])
def test_presets_that_compare_methods_run_every_trial_to_its_end(name: str) -> None:
    assert not make_config({}, name).stops
