import json
from pathlib import Path

import pytest

from slimtune.errors import UserError
from slimtune.search.config import SearchConfig, make_config
from slimtune.search.dry_run import draw_recipes, dry_run
from slimtune.search.estimate import Measured
from slimtune.search.search import run_search


def test_the_first_recipes_are_those_that_the_search_runs(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    quick = {"train": {"epochs": 0}, "distill": {"method": "none"}}
    quick["quantize"] = {"method": ["none", "float16", "int8_static"]}
    changes = {"space": quick, "trials": 3, "baseline": {"epochs": 1}}
    config = make_config({**digits_config.model_dump(), **changes})
    drawn = draw_recipes(config, 3)
    run = run_search(config, tmp_path / "run")
    assert [record.recipe for record in run.records] == drawn


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "qmc", "grid"])
def test_every_sampler_can_be_asked_in_advance(sampler: str) -> None:
    space = {"train": {"lr": 0.1}, "prune": {"method": ["none", "l1"]}}
    space["distill"] = {"method": "none"}
    config = make_config({"data": "digits", "sampler": sampler, "space": space, "trials": 12})
    drawn = draw_recipes(config, 6)
    assert len(drawn) == 6
    assert len({json.dumps(recipe, sort_keys=True) for recipe in drawn}) == 6


def test_a_dry_run_tells_size_recipes_and_cost(digits_config: SearchConfig) -> None:
    space = {"train": {"epochs": 2, "batch_size": 64}, "quantize": {"method": "none"}}
    space["distill"] = {"method": "none"}
    config = digits_config.model_copy(update={"space": space, "trials": 3})
    seen: list[Measured] = []
    found = dry_run(config, seen.append)
    assert found.size.continuous == ("train.lr",)
    assert [recipe.describe() for recipe in found.first][0]
    assert found.estimate.trials == 3 and tuple(seen) == found.estimate.samples
    assert found.estimate.search > 3 * found.estimate.trial > 0
    assert found.estimate.size > 100_000


def test_what_the_search_would_refuse_is_refused() -> None:
    with pytest.raises(UserError, match="unknown dataset"):
        dry_run(make_config({"data": "didgits"}))
    with pytest.raises(UserError, match="Did you mean 'resnet18'"):
        dry_run(make_config({"data": "digits", "model": "torchvision:resnt18"}))
