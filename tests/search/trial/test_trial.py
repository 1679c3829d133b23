import csv
import dataclasses
import hashlib
import io
import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.export.inspection import inspect_file
from slimtune.conditions import Conditions
from slimtune.measurement.accuracy import accuracy
from slimtune.measurement.runtime import predict
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import DEFAULT_OBJECTIVES, failed_outcome, run_trial
from slimtune.workload.types import Workload

RECIPE = {
    "prune": {"method": "l1", "amount": 0.5},
    "quantize": {"method": "int8_static"},
    "distill": {"method": "base"},
    "train": {"epochs": 1, "batch_size": 128},
}


@pytest.fixture(scope="module")
def outcome(digits: Workload):
    return run_trial(digits, TrialSpec(number=3, recipe=RECIPE, conditions=Conditions(seed=11)))


def test_every_number_is_measured_on_the_file_that_ships(digits: Workload, outcome) -> None:
    file = outcome.files["model.onnx"]
    logits = predict(file, digits.validation.images, mean=digits.mean, std=digits.std)
    assert outcome.objectives["accuracy"] == accuracy(logits, digits.validation.labels)
    assert outcome.objectives["size_bytes"] == len(file)
    assert outcome.objectives["latency_ms"] > 0


def test_objectives_are_what_was_asked_for_and_the_rest_are_metrics(digits: Workload) -> None:
    spec = TrialSpec(number=0, recipe={"train": {"epochs": 0}}, conditions=Conditions(seed=0))
    outcome = run_trial(digits, spec, objectives=("accuracy", "macs"))
    assert set(outcome.objectives) == {"accuracy", "macs"}
    assert {"latency_ms", "size_bytes", "bops", "packed_bytes"} <= set(outcome.payload.metrics)
    assert outcome.payload.metrics["activations"] == "float"


def test_the_record_names_the_hash_of_each_artifact(outcome) -> None:
    for name, digest in outcome.payload.artifacts.items():
        assert hashlib.sha256(outcome.files[name]).hexdigest() == digest
    assert {"model.onnx", "model.safetensors", "model.json"} <= set(outcome.payload.artifacts)


def test_the_files_tell_how_the_model_was_made(outcome) -> None:
    description = json.loads(outcome.files["model.json"])
    assert description["architecture"]["name"] == "resnet8"
    assert description["recipe"]["prune"]["amount"] == 0.5
    assert len(list(csv.DictReader(io.StringIO(outcome.files["history.csv"].decode())))) == 1
    assert "fine-tune" in outcome.files["log.txt"].decode()


def test_seconds_are_kept_by_stage(outcome) -> None:
    assert {"prune", "fine-tune", "export", "measure"} <= set(outcome.payload.seconds)


def test_a_recipe_that_cannot_be_carried_out_is_a_recorded_failure(digits: Workload) -> None:
    recipe = {"train": {"epochs": 1, "lr": 10.0, "momentum": 0.99, "batch_size": 16}}
    recipe["train"]["weight_decay"] = 1.0
    outcome = run_trial(digits, TrialSpec(number=1, recipe=recipe, conditions=Conditions(seed=0)))
    assert outcome.status == "failed" and outcome.objectives == {}
    assert outcome.payload.error and "Traceback" in outcome.payload.traceback


def test_an_invalid_recipe_is_a_recorded_failure_that_names_the_rule(digits: Workload) -> None:
    outcome = run_trial(
        digits,
        TrialSpec(number=1, recipe={"prune": {"method": "zzz"}}, conditions=Conditions(seed=0)),
    )
    assert outcome.status == "failed" and "unknown pruning method 'zzz'" in outcome.payload.error


class Standardised(nn.Conv2d):
    """A subclass that computes its weight."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class ByImages(nn.Conv2d):
    """A subclass whose weight depends on what it reads."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * (1 + x.mean()), self.bias, self.stride, self.padding)


class ByHand(nn.Linear):
    """A subclass that calls no kernel that quantizers know."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight + 0.01 * x.mean()).T + self.bias


def with_layers(workload: Workload, conv: type, hidden: int) -> Workload:
    torch.manual_seed(0)
    network = nn.Sequential(
        conv(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        conv(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        ByHand(32, hidden) if hidden else nn.Identity(),
        nn.Linear(hidden or 32, 10),
    )
    network.train()(torch.randn(64, 1, 8, 8))
    return dataclasses.replace(workload, baseline=network.eval())


LEARNED = {"quantize": {"method": "lsq", "bits": 4, "epochs": 0}, "train": {"epochs": 0}}


def test_subclasses_that_compute_their_weight_take_the_bits_that_were_asked(
    digits: Workload,
) -> None:
    workload = with_layers(digits, Standardised, 0)
    outcome = run_trial(
        workload, TrialSpec(number=0, recipe=LEARNED, conditions=Conditions(seed=0))
    )
    assert outcome.status == "complete", outcome.reason
    found = inspect_file(outcome.files["model.onnx"]).layers
    assert [layer.bits for layer in found] == [8, 4, 8]
    assert outcome.payload.metrics["weights_float32"] == 0.0
    assert json.loads(outcome.files["model.json"])["held_weights"] == ["0", "3"]


def test_what_stays_float_is_counted_from_the_file_and_told_with_the_pipeline(
    digits: Workload,
) -> None:
    workload = with_layers(digits, nn.Conv2d, 40)
    outcome = run_trial(
        workload, TrialSpec(number=0, recipe=LEARNED, conditions=Conditions(seed=0))
    )
    size = sum(layer.weights for layer in inspect_file(outcome.files["model.onnx"]).layers)
    share = 32 * 40 / (32 * 40 + size)  # no operator of the file knows a weight that is computed
    assert outcome.payload.metrics["weights_float32"] == pytest.approx(share)
    assert outcome.payload.metrics["layers_float32"] == "8"
    assert outcome.payload.pipeline == f"lsq 4b ({share:.0%} float32)"


def test_a_quantizer_that_leaves_nearly_all_in_float_fails_in_words(digits: Workload) -> None:
    workload = with_layers(digits, ByImages, 0)
    outcome = run_trial(
        workload, TrialSpec(number=0, recipe=LEARNED, conditions=Conditions(seed=0))
    )
    assert outcome.status == "failed"
    assert "lsq must round most weights, but 94% of them" in outcome.reason


def test_the_record_says_where_ranges_came_from(outcome) -> None:
    ranges = "min/max of 512 training images"
    assert outcome.payload.metrics["activation_ranges"] == ranges


def test_an_unexpected_error_is_named_by_its_type() -> None:
    spec = TrialSpec(number=1, recipe={}, conditions=Conditions(seed=0))
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        record = failed_outcome(spec, error).payload
    assert record.error == "ZeroDivisionError: division by zero"


class Judge:
    """Ends a trial at one rung, and writes down what it is shown."""

    def __init__(self, rung: str = "") -> None:
        self.rung = rung
        self.shown: list[Outcome] = []

    def __call__(self, outcome: Outcome) -> str:
        self.shown.append(outcome)
        return "enough" if outcome.rung == self.rung else ""


def test_a_trial_with_a_judge_that_lets_it_go_on_makes_the_same_files(
    digits: Workload, outcome
) -> None:
    judge = Judge()
    recipe = {**RECIPE, "train": {**RECIPE["train"], "epochs": 1}}
    judged = run_trial(digits, TrialSpec(3, recipe, Conditions(11)), Aids(judge=judge))
    assert judged.payload.artifacts == outcome.payload.artifacts
    assert judged.files["log.txt"] == outcome.files["log.txt"]
    assert list(judged.payload.rungs) == [shown.rung for shown in judge.shown] == ["structure"]
    assert outcome.payload.rungs == {}


def test_a_stopped_trial_tells_what_was_known_where_it_ended(digits: Workload) -> None:
    judge = Judge("fine-tune 2/8")
    recipe = {**RECIPE, "train": {"epochs": 8, "batch_size": 256}}
    stopped = run_trial(digits, TrialSpec(3, recipe, Conditions(11)), Aids(judge=judge))
    assert (stopped.status, stopped.reason, stopped.rung) == ("stopped", "enough", "fine-tune 2/8")
    record = stopped.payload
    assert record.status == "stopped" and set(record.rungs) == {
        "structure",
        "fine-tune 1/8",
        "fine-tune 2/8",
    }
    assert set(record.objectives) == set(DEFAULT_OBJECTIVES)
    assert (record.metrics["epochs"], record.metrics["epochs_left"]) == (2, 6)
    assert list(stopped.files) == ["log.txt"] and "preview" in record.seconds
    assert stopped.files["log.txt"].count(b"epoch=") == 2


def test_a_trial_that_trains_nothing_is_not_judged(digits: Workload) -> None:
    judge = Judge("structure")
    spec = TrialSpec(0, {"quantize": "int8_static", "train": {"epochs": 0}}, Conditions(0))
    assert run_trial(digits, spec, Aids(judge=judge)).status == "complete"
    assert judge.shown == []
