import optuna
import pytest

from slimtune.search.proposing.proposals import proposer_of, recorded_points
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.spec import TrialSpec

SMALL = {
    "prune": {"method": ["none", "l1"], "amount": 0.5, "scope": "local"},
    "quantize": {"method": "none"},
    "distill": {"method": "none"},
}


def proposer(total: int, **settings) -> tuple[Proposer, optuna.Study]:
    config = SearchConfig.model_validate({"model": "resnet8", "data": "digits", **settings})
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
    return proposer_of(config, study, total=total, points=config.points()), study


def specs(proposer: Proposer) -> list[TrialSpec]:
    found = []
    while (spec := proposer.ask()) is not None:
        found.append(spec)
    return found


def test_a_grid_runs_every_recipe_with_every_seed_of_its_own() -> None:
    grid, _ = proposer(6, sampler="grid", seeds=(3, 4, 5), space={**SMALL, "train": {"lr": 0.1}})
    found = specs(grid)
    assert [spec.conditions.seed for spec in found] == [3, 4, 5, 3, 4, 5]
    assert [spec.recipe["prune"]["method"] for spec in found] == ["none"] * 3 + ["l1"] * 3
    assert all(spec.conditions.prefix_seed is None for spec in found)  # a repeat repeats all of it


@pytest.mark.parametrize(("sampler", "dimensions"), [("tpe", {1, 2}), ("nsga2", {2})])
def test_breeding_samplers_draw_every_dimension_in_every_trial(sampler, dimensions) -> None:
    """An amount means nothing where nothing is pruned."""
    space = {**SMALL, "prune": {"method": ["none", "l1"], "amount": [0.1, 0.8], "scope": "local"}}
    asked, study = proposer(
        8,
        sampler=sampler,
        space={**space, "train": {"lr": 0.1, "recalibrate": None}},
        start="none",
    )
    specs(asked)
    assert {len(trial.params) for trial in study.trials} == dimensions


def test_what_a_trial_runs_with_is_in_its_spec() -> None:
    asked, _ = proposer(2, per_trial={"cpus": 2}, space=SMALL)
    first, second = specs(asked)
    assert first.conditions.threads == 2 and first.conditions.device == "cpu"
    assert first.conditions.seed != second.conditions.seed
    assert first.conditions.prefix_seed == second.conditions.prefix_seed is not None


def test_a_run_goes_on_with_the_start_points_that_it_began_with() -> None:
    config = SearchConfig.model_validate({"model": "resnet8", "data": "digits", "trials": 14})
    points = config.points()
    longer = config.model_copy(update={"trials": 400})
    assert len(longer.points()) > len(points)
    assert recorded_points(longer, {"first_points": points, "start_points": 4}) == points


def test_a_run_of_an_older_version_has_the_points_of_that_version() -> None:
    """It noted only their number, and none of them came without training but the baseline."""
    config = SearchConfig.model_validate({"model": "resnet8", "data": "digits", "trials": 40})
    found = recorded_points(config, {"start_points": 5})
    assert [(p["prune.method"], p["quantize.method"]) for p in found] == [
        ("none", "none"),
        ("l1", "none"),
        ("none", "int8_static"),
        ("fpgm", "none"),
        ("none", "gpfq"),
    ]
    assert recorded_points(config, {}) == []
    given = config.model_copy(update={"start": ({}, {"quantize": "gpfq"})})
    assert recorded_points(given, {"start_points": 2}) == given.points()
