import itertools
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from slimtune.compression.training.loop import network_logits
from slimtune.search.forecast import estimate, short_trials
from slimtune.search.forecast.estimate import estimate_search, measure_pace
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.final import FinalSettings
from slimtune.search.trial.spec import Outcome
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Workload


def ticking(step: float) -> Callable[[], float]:
    """Return a clock that is ``step`` seconds later each time it is read."""
    return map(float, itertools.count(0, step)).__next__


def test_the_pace_is_measured_on_a_copy(digits: Workload) -> None:
    before = {k: v.clone() for k, v in digits.baseline.state_dict().items()}
    pace = measure_pace(digits.baseline, digits, batch=32, clock=ticking(0.5))
    assert (pace.train, pace.infer) == (0.5 / 32, 0.5 / 32)
    after = digits.baseline.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    assert isinstance(digits.baseline, nn.Module) and not digits.baseline.training


def test_epochs_and_trials_are_scaled_and_weights_spare_the_baseline(
    digits: Workload, digits_config: SearchConfig
) -> None:
    recipes = [{"prune": "none", "train": {"epochs": 5, "batch_size": 64}}] * 2
    config = digits_config.model_copy(update={"trials": 10})
    cost = estimate_search(config, digits, recipes, samples=2)
    assert len(cost.samples) == 2 and not any(m.failed for m in cost.samples)
    one = cost.samples[0]
    assert one.epochs == 5 and one.seconds == pytest.approx(one.fixed + 5 * one.epoch)
    assert cost.search > 10 * cost.trial > 0
    assert cost.of_images == len(digits.train) >= cost.images
    assert cost.size == pytest.approx(11 * one.size, rel=0.1)
    given = config.model_copy(update={"weights": "w.th"})
    spared = estimate_search(given, digits, recipes, samples=1)
    assert spared.baseline == pytest.approx(spared.samples[0].fixed)


def test_trials_that_fail_are_measured_as_far_as_they_come(
    digits: Workload, digits_config: SearchConfig
) -> None:
    wild = {"train": {"epochs": 1, "lr": 10.0, "weight_decay": 1.0, "momentum": 0.99}}
    cost = estimate_search(digits_config, digits, [wild], samples=1)
    assert "lower" in cost.samples[0].failed or cost.samples[0].failed == ""
    assert cost.trial > 0


def test_a_large_training_split_is_measured_in_part(
    digits: Workload, digits_config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "LEAST_IMAGES", 200)
    monkeypatch.setattr(estimate, "PART_SECONDS", 0.0)
    recipes = [{"train": {"epochs": 2}}]
    cost = estimate_search(digits_config, digits, recipes, samples=1)
    assert cost.images == 200 < cost.of_images
    monkeypatch.setattr(estimate, "PART_SECONDS", 3.0)
    clock = ticking(1.28)  # 128 images a step: 0.01 seconds each
    cost = estimate_search(digits_config, digits, recipes, samples=1, clock=clock)
    assert cost.images == 300


def test_no_further_trial_is_measured_when_the_time_is_over(
    digits: Workload, digits_config: SearchConfig
) -> None:
    recipes = [{"prune": "none", "train": {"epochs": 0}}] * 4
    counts = []
    for step in (30.0, 60.0):  # from the third on, each asks the clock once
        options = {"samples": 4, "seconds": 50.0, "clock": ticking(step)}
        counts.append(len(estimate_search(digits_config, digits, recipes, **options).samples))
    assert counts == [3, 2]


@pytest.mark.parametrize("stopping", [True, False])
def test_the_look_before_training_is_counted_where_trials_may_be_stopped(
    stopping: bool,
    digits: Workload,
    digits_config: SearchConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[bool] = []

    def run(*args: Any, **options: Any) -> Outcome:
        outcome = run_trial(*args, **options)
        looked.append("preview" in outcome.payload.seconds)
        return outcome

    monkeypatch.setattr(short_trials, "run_trial", run)
    config = digits_config.model_copy(update={"stopping": stopping})
    estimate_search(config, digits, [{"train": {"epochs": 1, "batch_size": 64}}], samples=1)
    assert looked == [stopping] * 2


def test_distilling_is_measured_with_a_teacher_that_is_asked_once(
    digits: Workload, digits_config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(network: nn.Module, images: Any, *args: Any, **options: Any) -> Any:
        asked.append(len(images))
        return network_logits(network, images, *args, **options)

    monkeypatch.setattr("slimtune.compression.training.teaching.network_logits", answer)
    taught = {"distill": {"method": "base"}, "train": {"epochs": 5, "batch_size": 64}}
    clock = ticking(1e-3)  # fast: all images are measured, however busy the machine is
    cost = estimate_search(digits_config, digits, [taught] * 3, samples=3, clock=clock)
    assert not any(m.failed for m in cost.samples)
    assert sum(asked) == len(digits.train)


def test_finals_are_counted_at_their_own_length(
    digits: Workload, digits_config: SearchConfig
) -> None:
    recipes = [{"prune": "none", "train": {"epochs": 1, "batch_size": 64}}] * 2
    final = FinalSettings(epochs=100, repeats=5)
    cost = estimate_search(digits_config, digits, recipes, samples=1)
    assert (cost.finals, cost.final) == (0, 0.0)
    config = digits_config.model_copy(update={"final": final})
    more = estimate_search(config, digits, recipes, samples=1)
    [one] = more.samples
    assert more.finals == 4 * 5  # four trials have a front of four at most
    assert more.final == pytest.approx(20 * (one.fixed + 100 * one.epoch))
    assert more.search > more.final + 4 * more.trial
    assert more.size == pytest.approx(25 * one.size, rel=0.1)
