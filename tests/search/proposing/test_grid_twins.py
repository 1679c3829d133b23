from pathlib import Path
from typing import Any

from slimtune.search.listeners.events import Event, Warned
from slimtune.search.proposing.grid_twins import grid_trials, grid_twins
from slimtune.search.proposing.proposals import recorded_points
from slimtune.search.proposing.twins import Twins
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.workload.types import Workload

SPACE = {
    "prune": {"method": ["none", "l1"], "amount": [0.2, 0.25, 0.5], "scope": "local"},
    "quantize": {"method": "none"},
    "distill": {"method": "none"},
    "train": {"lr": 0.03, "epochs": 1, "batch_size": 256},
}


def grid(**settings: Any) -> SearchConfig:
    own = {"model": "resnet8", "data": "digits", "sampler": "grid", "space": SPACE}
    return make_config({**own, **settings})


def by_method_and_half(recipe: Any) -> str:
    """Stand in for `Twins.key`: amounts below a third are one."""
    return str((recipe["prune"]["method"], recipe["prune"].get("amount", 1) < 1 / 3))


def test_twins_are_left_out_and_named() -> None:
    twins, line = grid_twins(grid(), by_method_and_half)
    assert twins == [2]
    assert line.startswith(
        "1 of the grid's 4 recipes keep exactly the channels of another one and are left out: "
        "l1 25% = l1 20%"
    )
    assert "round_to=1" in line and "\n" not in line


def test_only_a_grid_has_twins(digits: Workload) -> None:
    config = make_config({"model": "resnet8", "data": "digits"})
    assert grid_twins(config, by_method_and_half) == ([], "")
    assert grid_trials(config, {"twins": [1]}) == config.total_trials()
    wide = grid(model="resnet8x2", space={**SPACE, "prune": {**SPACE["prune"], "round_to": 1}})
    assert grid_twins(wide, Twins(digits).key) == ([], "")


def test_a_grid_runs_what_is_left_with_every_seed() -> None:
    config = grid(seeds=[1, 2])
    manifest = {"twins": [2]}
    assert config.total_trials() == 8 and grid_trials(config, manifest) == 6
    assert grid_trials(config, {}) == 8  # a run of an older version
    assert [p.get("prune.amount") for p in recorded_points(config, manifest)] == [None, 0.2, 0.5]
    assert grid_trials(grid(trials=2), manifest) == 2


def test_a_whole_grid_says_what_it_left_out_and_what_pruning_took(tmp_path: Path) -> None:
    told: list[str] = []
    config = grid(executor="inline", baseline={"epochs": 1}, objectives=["accuracy", "size_bytes"])

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(event.text)

    run = run_search(config, tmp_path / "run", listen)
    assert [record.status for record in run.records] == ["complete"] * 3
    assert any("l1 25% = l1 20%" in text for text in told)
    assert run.manifest["twins"] == [2]
    pruned = run.records[2]
    assert pruned.pipeline == f"l1 50% (-{pruned.metrics['macs_removed']:.0%} MACs)"
    macs = 1 - pruned.metrics["macs"] / run.baseline["metrics"]["macs"]
    params = 1 - pruned.metrics["params"] / run.baseline["metrics"]["params"]
    assert (pruned.metrics["macs_removed"], pruned.metrics["params_removed"]) == (macs, params)
    assert 0.5 < macs < 0.8 and "macs_removed" not in run.records[0].metrics
    again = run_search(config, tmp_path / "run", listen, resume=True)
    assert len(again.records) == 3
