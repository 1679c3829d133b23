import json
from pathlib import Path

import pytest

from slimtune.errors import ConfigError
from slimtune.search.proposing.draws import check_draws, draw_recipes
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.spaces.space import Space


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


def test_a_space_whose_recipes_contradict_themselves_is_refused() -> None:
    check_draws(Space.restricted({}))
    never = {"train": {"epochs": 0}, "prune": {"schedule": "soft"}, "distill": {"method": "none"}}
    with pytest.raises(ConfigError, match="space.train.epochs: must be at least 1"):
        check_draws(Space.restricted(never))
