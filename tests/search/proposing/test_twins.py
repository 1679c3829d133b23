"""Recipes that make one network are known as one before either is trained."""

import copy
import dataclasses
from typing import Any

import optuna
import pytest
import torch
from torch import nn

from slimtune.compression.calibration import SCORING_IMAGES, calibration_batch
from slimtune.compression.network.copies import copied
from slimtune.compression.pruning.stage.stage import prune
from slimtune.compression.recipe import Recipe
from slimtune.search.proposing.proposals import proposer_of
from slimtune.search.proposing.twins import Twins
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.spec import Outcome
from slimtune.workload.types import Workload
from slimtune.workload.zoo.build import build

TRAIN = {"epochs": 4, "lr": 0.03}


@pytest.fixture(scope="module")
def narrow(digits: Workload) -> Workload:
    """A network of 16, 32 and 64 channels: 20 % and 25 % leave the same multiples of 8."""
    architecture = dataclasses.replace(digits.architecture, name="resnet8")
    torch.manual_seed(0)
    return dataclasses.replace(digits, architecture=architecture, baseline=build(architecture))


@pytest.fixture(scope="module")
def twins(narrow: Workload) -> Twins:
    return Twins(narrow)


def recipe(train: dict[str, Any] = TRAIN, **settings: Any) -> dict[str, Any]:
    return {"prune": {"method": "l1", **settings}, "train": train}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"amount": 0.2}, {"amount": 0.25}),
        ({"amount": 0.7}, {"amount": 0.8}),
        ({"amount": 0.5, "round_to": 8}, {"amount": 0.5, "round_to": 4}),
        ({"method": "fpgm", "amount": 0.2}, {"method": "fpgm", "amount": 0.25}),
        ({"amount": 0.05}, {"method": "taylor", "amount": 0.04}),  # neither removes anything
        (
            {"schedule": "incremental", "steps": 2, "amount": 0.7},
            {"schedule": "incremental", "steps": 2, "amount": 0.72},
        ),
        ({"schedule": "soft", "amount": 0.7}, {"schedule": "soft", "amount": 0.71}),
        (
            {"schedule": "per_epoch", "rate": 0.1, "round_to": 8},
            {"schedule": "per_epoch", "rate": 0.101, "round_to": 8},
        ),
        ({"method": "bn_scale", "amount": 0.2}, {"method": "bn_scale", "amount": 0.25}),
    ],
)
def test_recipes_that_keep_the_same_channels_are_one(
    twins: Twins, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert Recipe.from_dict(recipe(**one)).key() != Recipe.from_dict(recipe(**other)).key()
    assert twins.key(recipe(**one)) == twins.key(recipe(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"amount": 0.2, "round_to": 1}, {"amount": 0.25, "round_to": 1}),
        ({"amount": 0.3}, {"amount": 0.5}),
        ({"amount": 0.2}, {"amount": 0.25, "method": "l2"}),
        ({"amount": 0.2}, {"amount": 0.25, "schedule": "incremental"}),
        ({"amount": 0.2}, {"amount": 0.25, "train": {**TRAIN, "lr": 0.02}}),
        (  # the same in the end, but not half way
            {"schedule": "incremental", "steps": 2, "amount": 0.4},
            {"schedule": "incremental", "steps": 2, "amount": 0.3},
        ),
        (  # what training makes of the scores decides, so nothing is known
            {"schedule": "soft", "amount": 0.7, "scope": "global"},
            {"schedule": "soft", "amount": 0.701, "scope": "global"},
        ),
        ({"method": "random", "scope": "global", "amount": 0.5},) * 2,
    ],
)
def test_recipes_that_may_differ_stay_apart(
    twins: Twins, one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = one == other
    assert (twins.key(recipe(**one)) == twins.key(recipe(**other))) == same


def test_to_measure_statistics_again_is_nothing_to_a_network_that_has_none(
    narrow: Workload, twins: Twins
) -> None:
    plain = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
    without = Twins(dataclasses.replace(narrow, baseline=plain))
    for settings in ({"amount": 0.2}, {"amount": 0.2, "schedule": "soft"}):
        unset, on = recipe(**settings), recipe({**TRAIN, "recalibrate": True}, **settings)
        assert without.key(unset) == without.key(on)
        assert twins.key(unset) != twins.key(on)
    untrained = [recipe({"epochs": 0, "recalibrate": value}, amount=0.5) for value in (None, True)]
    assert twins.key(untrained[0]) == twins.key(untrained[1])


@pytest.mark.parametrize("method", ["l1", "fpgm", "group_norm", "taylor", "lamp"])
@pytest.mark.parametrize("scope", ["local", "stage", "global"])
def test_the_counts_are_those_that_pruning_leaves(
    narrow: Workload, twins: Twins, method: str, scope: str
) -> None:
    for amount in (0.2, 0.45, 0.8):
        asked = Recipe.from_dict(recipe(method=method, scope=scope, amount=amount))
        assert asked.prune is not None
        network = copied(narrow.baseline, narrow.image_shape)
        kept = prune(network, asked.prune, batch=calibration_batch(narrow, SCORING_IMAGES, "cpu"))
        known = twins.kept(asked)
        assert known is not None and len(known) == 1
        for layer, left in kept.items():
            if layer in known[0]:
                assert known[0][layer] == len(left)
        untouched = set(known[0]) - set(kept)
        modules = dict(network.named_modules())
        assert all(known[0][name] == modules[name].out_channels for name in untouched)


def test_another_student_has_its_own_widths(narrow: Workload, twins: Twins) -> None:
    wide = {"student": {"model": "resnet8x2"}}
    assert twins.key(recipe(amount=0.2)) == twins.key(recipe(amount=0.25))
    assert twins.key({**recipe(amount=0.2), **wide}) != twins.key({**recipe(amount=0.3), **wide})
    unknown = {**recipe(amount=0.2), "student": {"model": "resnet9"}}
    assert twins.key(unknown) == Recipe.from_dict(unknown).key()


def test_single_weights_and_no_pruning_are_told_apart_as_ever(twins: Twins) -> None:
    for one in (recipe(method="l1_unstructured", amount=0.2), {"train": TRAIN}):
        assert twins.key(one) == Recipe.from_dict(one).key()


def test_the_network_is_not_changed_by_looking(narrow: Workload) -> None:
    before = copy.deepcopy(narrow.baseline.state_dict())
    Twins(narrow).key(recipe(method="taylor", scope="global", amount=0.3))
    assert all(torch.equal(before[name], t) for name, t in narrow.baseline.state_dict().items())
    assert all(parameter.grad is None for parameter in narrow.baseline.parameters())


SPACE = {
    "prune": {"method": "l1", "amount": {"low": 0.1, "high": 0.8, "step": 0.05}, "scope": "local"},
    "quantize": {"method": "none"},
    "distill": {"method": "none"},
    "train": {"lr": 0.1, "recalibrate": None},
}


def proposed(twins: Twins, study: optuna.Study, total: int, old: bool = False) -> list[float]:
    config = SearchConfig.model_validate({"space": SPACE, "start": "none", "data": "digits"})
    key = None if old else twins.key
    asked, found = proposer_of(config, study, total=total, points=[], key=key), []
    while (spec := asked.ask()) is not None:
        found.append(spec.recipe["prune"]["amount"])
        values = {"accuracy": 0.9, "size_bytes": 100.0 * (1 - found[-1]), "latency_ms": 1.0}
        asked.tell(Outcome(spec.number, "complete", values))
    return found


def new_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(directions=["maximize", "minimize", "minimize"])


def test_a_search_spends_no_trial_on_a_twin_nor_does_a_resumed_one(twins: Twins) -> None:
    whole = proposed(twins, new_study(), 99)
    keys = [twins.key({**recipe(amount=amount), "train": {"lr": 0.1}}) for amount in whole]
    assert len(set(keys)) == len(keys) < 15  # amounts
    halved = new_study()
    assert proposed(twins, halved, 3) + proposed(twins, halved, 99) == whole


def test_a_run_of_an_older_version_gets_no_twin_of_what_it_has(twins: Twins) -> None:
    study = new_study()
    before = proposed(twins, study, 4, old=True)
    for trial in study.get_trials(deepcopy=False):
        assert (
            trial.user_attrs["key"] == Recipe.from_dict(trial.user_attrs["spec"]["recipe"]).key()
        )
    config = SearchConfig.model_validate({"space": SPACE, "start": "none", "data": "digits"})
    asked = proposer_of(config, study, total=99, points=[], key=twins.key)
    assert asked.fault({}) == ""  # other keys are no damage
    after = proposed(twins, study, 99)
    keys = [
        twins.key({**recipe(amount=amount), "train": {"lr": 0.1}}) for amount in before + after
    ]
    assert not set(keys[4:]) & set(keys[:4]) and len(set(keys[4:])) == len(after)
