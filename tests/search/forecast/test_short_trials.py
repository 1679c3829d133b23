import dataclasses
from typing import Any

import pytest

from slimtune.search.forecast import short_trials
from slimtune.search.forecast.short_trials import (
    ShortTrials,
    epochs_of,
    measured_on,
    questions_of,
    shortened_recipe,
)
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.per_trial import PerTrialSettings
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.workload.types import Split, Workload

RECIPE = {
    "prune": {"method": "bn_scale", "amount": 0.5, "sparsity_epochs": 2, "step_epochs": 3},
    "quantize": {"method": "lsq", "bits": 4, "epochs": 5},
    "distill": {"method": "base"},
    "train": {"epochs": 7},
    "order": "ppq",
}


def test_a_recipe_is_cut_to_one_epoch_a_stage_and_stays_as_it_was() -> None:
    short = shortened_recipe(RECIPE)
    assert short["train"]["epochs"] == short["quantize"]["epochs"] == 1
    assert short["prune"] == {**RECIPE["prune"], "sparsity_epochs": 1, "step_epochs": 1}
    assert RECIPE["train"] == {"epochs": 7}
    idle = {"train": {"epochs": 0}, "quantize": "none"}
    assert shortened_recipe(idle) == idle


def test_epochs_are_counted_over_all_stages_and_questions_only_where_answers_can_be_kept() -> None:
    assert epochs_of(RECIPE) == 7 + 5 + 2
    assert questions_of(RECIPE) == 14
    assert questions_of({**RECIPE, "distill": {"method": "fmse"}}) == 0
    assert questions_of({**RECIPE, "distill": "none"}) == 0
    assert questions_of({**RECIPE, "train": {"epochs": 7, "mixup": 0.2}}) == 0


def test_trials_share_answers_and_no_stages(digits: Workload, digits_config: SearchConfig) -> None:
    recipe = {
        "prune": {"method": "l1", "amount": 0.5},
        "distill": {"method": "base"},
        "train": {"epochs": 3, "batch_size": 64},
    }
    trials = ShortTrials(digits_config, digits)
    first, second = (trials.carry_out(recipe, number) for number in range(2))
    assert (first.status, second.status) == ("complete", "complete")
    asked = [key for key, files in first.entries.items() if "logits.npy" in files]
    assert len(asked) == 1 and second.entries[asked[0]] == {}
    assert not any("store" in stage for stage in second.payload.seconds)


@pytest.mark.parametrize("here", [True, False])
def test_trials_are_measured_with_their_own_threads_and_device_or_as_of_this_cpu(
    here: bool, digits: Workload, digits_config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = PerTrialSettings(gpus=0.5, cpus=2)
    config = digits_config.model_copy(update={"per_trial": asked})
    seen: list[TrialSpec] = []

    def run(_workload: Workload, spec: TrialSpec, *_args: Any, **_options: Any) -> Outcome:
        seen.append(spec)
        return Outcome(spec.number, "complete")

    monkeypatch.setattr(short_trials, "run_trial", run)
    monkeypatch.setattr("torch.cuda.device_count", lambda: int(here))
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    large = dataclasses.replace(digits, train=larger(digits.train))
    ShortTrials(config, large).carry_out(RECIPE, 0)
    [spec] = seen
    assert measured_on(config) == spec.conditions.device == ("cuda:0" if here else "cpu")
    assert spec.conditions.threads == 2
    # bfloat16 is what a GPU would be given, and what this CPU has no instructions for
    assert spec.conditions.precision == ("bfloat16" if here else "float32")


def larger(split: Split) -> Split:
    """Return a split of images that are large enough to gain by bfloat16."""
    images = split.images.repeat(2, axis=1).repeat(2, axis=2)
    return dataclasses.replace(split, images=images)
