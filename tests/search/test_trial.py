import csv
import hashlib
import io
import json

import pytest

from slimtune.measurement.accuracy import accuracy
from slimtune.measurement.runtime import predict
from slimtune.search.attempt import Aids
from slimtune.search.spec import Outcome, TrialSpec
from slimtune.search.trial import DEFAULT_OBJECTIVES, failed_outcome, run_trial
from slimtune.workload.types import Workload

RECIPE = {
    "prune": {"method": "l1", "amount": 0.5},
    "quantize": {"method": "int8_static"},
    "distill": {"method": "base"},
    "train": {"epochs": 1, "batch_size": 128},
}


@pytest.fixture(scope="module")
def outcome(digits: Workload):
    return run_trial(digits, TrialSpec(number=3, recipe=RECIPE, seed=11))


def test_every_number_is_measured_on_the_file_that_ships(digits: Workload, outcome) -> None:
    file = outcome.files["model.onnx"]
    logits = predict(file, digits.validation.images, mean=digits.mean, std=digits.std)
    assert outcome.objectives["accuracy"] == accuracy(logits, digits.validation.labels)
    assert outcome.objectives["size_bytes"] == len(file)
    assert outcome.objectives["latency_ms"] > 0


def test_objectives_are_what_was_asked_for_and_the_rest_are_metrics(digits: Workload) -> None:
    spec = TrialSpec(number=0, recipe={"train": {"epochs": 0}}, seed=0)
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
    outcome = run_trial(digits, TrialSpec(number=1, recipe=recipe, seed=0))
    assert outcome.status == "failed" and outcome.objectives == {}
    assert outcome.payload.error and "Traceback" in outcome.payload.traceback


def test_an_invalid_recipe_is_a_recorded_failure_that_names_the_rule(digits: Workload) -> None:
    outcome = run_trial(digits, TrialSpec(number=1, recipe={"prune": {"method": "zzz"}}, seed=0))
    assert outcome.status == "failed" and "unknown pruning method 'zzz'" in outcome.payload.error


def test_an_unexpected_error_is_named_by_its_type() -> None:
    spec = TrialSpec(number=1, recipe={}, seed=0)
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
    judged = run_trial(digits, TrialSpec(3, recipe, 11), Aids(judge=judge))
    assert judged.payload.artifacts == outcome.payload.artifacts
    assert judged.files["log.txt"] == outcome.files["log.txt"]
    assert list(judged.payload.rungs) == [shown.rung for shown in judge.shown] == ["structure"]
    assert outcome.payload.rungs == {}


def test_a_stopped_trial_tells_what_was_known_where_it_ended(digits: Workload) -> None:
    judge = Judge("fine-tune 2/8")
    recipe = {**RECIPE, "train": {"epochs": 8, "batch_size": 256}}
    stopped = run_trial(digits, TrialSpec(3, recipe, 11), Aids(judge=judge))
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
    spec = TrialSpec(0, {"quantize": "int8_static", "train": {"epochs": 0}}, 0)
    assert run_trial(digits, spec, Aids(judge=judge)).status == "complete"
    assert judge.shown == []
