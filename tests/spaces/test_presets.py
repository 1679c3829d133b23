from pathlib import Path

import pytest
from optuna.trial import FixedTrial

from slimtune.errors import UnknownNameError
from slimtune.results.views.summary import summarise
from slimtune.search.session import run_search
from slimtune.search.settings.config import make_config
from slimtune.spaces.presets import PRESETS
from slimtune.spaces.space import suggest_recipe


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_a_valid_config(name: str) -> None:
    config = make_config({}, preset=name)
    assert 1 <= config.total_trials() <= 200 and config.data == "digits"


def test_the_demo_runs_at_least_sixteen_trials_on_bundled_data() -> None:
    config = make_config({}, preset="demo")
    assert config.total_trials() >= 16 and config.data == "digits" and config.weights is None


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown preset 'dmeo'. Did you mean 'demo'"):
        make_config({}, preset="dmeo")


COLUMNS = {  # of the tables that the founding projects print
    "ppq": {"size_bytes", "nonzero", "compression_ratio", "bops_ratio", "accuracy"},
    "spq": {"size_bytes", "nonzero", "compression_ratio", "bops_ratio", "accuracy"},
    "pruning-kd": {"prune.method", "distill.method", "prune.amount", "latency_ms", "accuracy"},
    "kd-gpfq": {"distill.method", "quantize.method", "accuracy", "size_bytes"},
    "l1-kd-int8": {"prune.amount", "sparsity", "size_bytes", "latency_ms", "accuracy"},
}


@pytest.mark.parametrize("name", list(COLUMNS))
def test_a_founding_projects_preset_lists_its_recipes_and_its_columns(name: str) -> None:
    config = make_config({}, preset=name)
    assert config.sampler == "grid" and set(config.summary) >= COLUMNS[name]


def test_the_grid_of_pruning_methods_and_distillation_is_complete_over_five_seeds() -> None:
    config = make_config({}, preset="pruning-kd")
    assert config.total_trials() == 3 * 3 * 2 * 5 and config.seeds == (0, 1, 2, 3, 4)


def test_spq_removes_a_share_of_what_is_left_after_each_epoch_as_published() -> None:
    config = make_config({}, preset="spq")
    recipes = [
        suggest_recipe(FixedTrial(point), config.resolved_space()) for point in config.points()
    ]
    pruned = [recipe.prune for recipe in recipes if recipe.prune is not None]
    assert {(prune.schedule, prune.rate) for prune in pruned} == {
        ("per_epoch", 0.05),
        ("per_epoch", 0.1),
    }
    assert any(recipe.order == "spq" and recipe.prune for recipe in recipes)
    assert len({recipe.key() for recipe in recipes}) == len(recipes) == 18


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COLUMNS))
def test_the_first_recipes_of_a_founding_project_run_and_fill_their_table(
    name: str, tmp_path: Path
) -> None:
    config = make_config(
        {
            "executor": "inline",
            "trials": 6,
            "baseline": {"epochs": 2},
            "space": {"train": {"epochs": 1}},
        },
        preset=name,
    )
    run = run_search(config, tmp_path / "run")
    assert [record.error for record in run.records] == [None] * 6
    table = summarise(run, config.summary)
    assert table["accuracy"].notna().all() and len(table) >= 2
