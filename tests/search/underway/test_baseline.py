import pytest

from slimtune.errors import ModelError
from slimtune.measurement.runtime import predict
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.scores import accuracy_on_test
from slimtune.search.trial.trial import run_trial
from slimtune.search.underway.baseline import (
    all_numbers,
    doubts,
    measure_network,
    untouched_spec,
)
from slimtune.workload.types import Workload


def test_test_accuracy_is_counted_on_the_file(
    digits: Workload, digits_config: SearchConfig
) -> None:
    outcome = run_trial(digits, untouched_spec(digits_config))
    file = outcome.files["model.onnx"]
    logits = predict(file, digits.test.images, mean=digits.mean, std=digits.std)
    right = (logits.argmax(axis=1) == digits.test.labels).mean()
    measured = accuracy_on_test(digits, file)
    assert measured["test_accuracy"] == pytest.approx(right)
    spread = (right * (1 - right) / len(digits.test)) ** 0.5
    assert measured["test_standard_error"] == pytest.approx(spread)


def test_a_network_is_measured_as_a_trial_that_does_nothing_to_it(
    digits: Workload, digits_config: SearchConfig
) -> None:
    found = measure_network(digits, digits_config, "resnet8")
    assert found.stored == (found.record, found.outcome.files)
    assert {"model.onnx", "model.safetensors"} <= found.outcome.files.keys()
    numbers = all_numbers(found.record)
    assert numbers == {**found.measured, **found.test}
    assert found.record["recipe"]["train"]["epochs"] == 0


def test_a_network_that_cannot_be_measured_is_named(
    digits: Workload, digits_config: SearchConfig
) -> None:
    config = digits_config.model_copy(update={"objectives": ("accuracy", "nothing:maximize")})
    with pytest.raises(ModelError, match="^resnet8: the network itself fails: objectives: "):
        measure_network(digits, config, "resnet8")


def test_few_test_images_are_doubted(digits: Workload) -> None:
    numbers = {"accuracy": 0.99, "test_accuracy": 0.2}
    assert len(doubts(numbers, digits)) == 1
    assert doubts({"accuracy": 0.95, "test_accuracy": 0.95}, digits) == []
