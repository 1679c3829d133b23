from typing import Any

import pytest

from slimtune.errors import ConfigError, SlimtuneError, UserError
from slimtune.search.forecast.dry_run import dry_run
from slimtune.search.forecast.estimate import Sample
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.workload.own_code import allow_all_code


def test_a_dry_run_tells_size_recipes_and_cost(digits_config: SearchConfig) -> None:
    space = {"train": {"epochs": 2, "batch_size": 64}, "quantize": {"method": "none"}}
    space["distill"] = {"method": "none"}
    config = digits_config.model_copy(update={"space": space, "trials": 3})
    seen: list[Sample] = []
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


@pytest.mark.parametrize(
    ("settings", "kind", "rule"),
    [
        ({"per_trial": {"gpus": 1}}, ConfigError, "asks for 1 GPU, but this host has 0"),
        (
            {"executor": "ray", "ray_address": "127.0.0.1:1"},
            SlimtuneError,
            "cannot reach Ray at 127.0.0.1:1",
        ),
        (
            {"objectives": ["size_bytes", "/gone.py:f1:maximize"]},
            UserError,
            "file /gone.py does not exist",
        ),
    ],
)
def test_machines_and_metrics_are_checked_as_of_a_search(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    kind: type[SlimtuneError],
    rule: str,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    allow_all_code()
    small = {"model": "resnet8", "data": "digits", "executor": "inline", **settings}
    with pytest.raises(kind, match=rule):
        dry_run(make_config({**small, "trials": 1}))
