"""What a trial hands back of its teacher's answers, and that finding them changes no bit."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from slimtune.conditions import Conditions
from slimtune.measurement.latency import Latency
from slimtune.search.trial.attempt import Aids, FetchEntry, no_entry
from slimtune.search.trial.shared_views import SharedViews, view_key
from slimtune.search.trial.snapshot_key import run_origin
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.types import Workload

RECIPE: dict[str, Any] = {
    "distill": {"method": "base"},
    "train": {"epochs": 2, "batch_size": 256},
}
SPEC = TrialSpec(0, RECIPE, Conditions(seed=1, prefix_seed=5, views=4))
ORIGIN = {"data": "d", "augmentation": {}, "architecture": {}, "baseline": "b", "teacher": None}


def trial(workload: Workload, spec: TrialSpec, fetch: FetchEntry = no_entry) -> Outcome:
    latency = Latency(ms=1.0, rounds=3, accepted=3, stable=True, threads=1)
    aids = Aids(fetch_entry=fetch, measure_latency=lambda *_, **__: [latency])
    outcome = run_trial(workload, spec, aids, origin=run_origin(workload, "0" * 64))
    assert outcome.status == "complete", outcome.reason
    return outcome


def views_in(outcome: Outcome) -> dict[str, Mapping[str, bytes]]:
    return {key: files for key, files in outcome.entries.items() if key not in recorded(outcome)}


def recorded(outcome: Outcome) -> list[str]:
    return list(outcome.payload.stages.values())


def answers(seed: int = 0) -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(seed)).half()


def never() -> Tensor:
    raise AssertionError("the teacher was asked again")


def under(number: int = 0, recipe: dict[str, Any] = RECIPE, **changes: Any) -> TrialSpec:
    return TrialSpec(number, recipe, dataclasses.replace(SPEC.conditions, **changes))


def test_a_view_that_was_asked_about_is_found_by_the_next_trial() -> None:
    first = SharedViews(ORIGIN, SPEC, no_entry)
    assert torch.equal(first.recall(2, answers), answers())
    stored = first.attach_to(Outcome(0, "complete")).entries
    second = SharedViews(ORIGIN, under(number=1, seed=9), stored.get)
    assert torch.equal(second.recall(2, never), answers())
    assert second.attach_to(Outcome(1, "complete")).entries == dict.fromkeys(stored, {})


def test_without_a_store_nothing_is_handed_back() -> None:
    views = SharedViews(None, SPEC, no_entry)
    assert torch.equal(views.recall(0, answers), answers())
    assert views.attach_to(Outcome(0, "complete")).entries == {}


@pytest.mark.parametrize("files", [{}, {"logits.npy": b"nonsense"}, {"other": b""}])
def test_a_damaged_answer_is_asked_for_again(files: dict[str, bytes]) -> None:
    views = SharedViews(ORIGIN, SPEC, lambda key: files)
    assert torch.equal(views.recall(0, answers), answers())


@pytest.mark.parametrize(
    "changes",
    [{"prefix_seed": 6}, {"threads": 2}, {"precision": "bfloat16"}, {"prefix_seed": None}],
)
def test_the_key_names_all_that_answers_depend_on(changes: dict[str, Any]) -> None:
    other = under(**changes)
    assert view_key(ORIGIN, other, 0) != view_key(ORIGIN, SPEC, 0)


def test_the_key_names_nothing_else() -> None:
    other = under(number=7, recipe={}, seed=8, views=9)
    assert view_key(ORIGIN, other, 3) == view_key(ORIGIN, SPEC, 3)
    assert view_key(ORIGIN, SPEC, 3) != view_key(ORIGIN, SPEC, 2)
    for name in ("data", "augmentation", "baseline", "teacher"):
        assert view_key({**ORIGIN, name: "x"}, SPEC, 3) != view_key(ORIGIN, SPEC, 3)


def test_a_trial_that_finds_its_teachers_answers_makes_the_same_files(digits: Workload) -> None:
    first = trial(digits, SPEC)
    views = views_in(first)
    assert len(views) == 2  # as many as epochs, of the four that there may be
    again = trial(digits, SPEC, views.get)
    assert again.payload.artifacts == first.payload.artifacts
    assert views_in(again) == dict.fromkeys(views, {})
    online = trial(digits, under(views=0))
    assert views_in(online) == {}
    assert online.payload.artifacts["model.onnx"] != first.payload.artifacts["model.onnx"]
    assert first.payload.conditions.views == 4 and online.payload.conditions.views == 0


def test_methods_that_need_the_teacher_in_every_step_hand_nothing_back(digits: Workload) -> None:
    recipe = {**RECIPE, "distill": {"method": "attention"}}
    assert views_in(trial(digits, dataclasses.replace(SPEC, recipe=recipe))) == {}


def test_a_trial_in_short_numbers_repeats_bit_for_bit_and_says_so(digits: Workload) -> None:
    short = under(precision="bfloat16")
    first, again, long = (trial(digits, spec) for spec in (short, short, SPEC))
    assert first.payload.artifacts == again.payload.artifacts
    assert first.payload.artifacts["model.onnx"] != long.payload.artifacts["model.onnx"]
    found = [outcome.payload.conditions.precision for outcome in (first, long)]
    assert found == ["bfloat16", "float32"]
    assert first.objectives["accuracy"] > long.objectives["accuracy"] - 0.05
