import pytest

from slimtune.measurement.runtime import predict
from slimtune.results.finals import FinalKey
from slimtune.results.record import TrialRecord
from slimtune.search.final_measurement import on_test, shipped
from slimtune.search.search import _baseline_spec
from slimtune.search.trial import run_trial


def finals_of(*scores: float) -> dict[FinalKey, TrialRecord]:
    return {
        FinalKey(4, 30, repeat): TrialRecord(
            number=4,
            status="complete",
            recipe={},
            pipeline="p",
            seed=repeat,
            **{"objectives" if repeat % 2 else "metrics": {"accuracy": score}},
        )
        for repeat, score in enumerate(scores)
    }


@pytest.mark.parametrize(
    ("scores", "repeat"),
    [
        ([0.9], 0),
        ([0.9, 0.8, 0.95], 0),
        ([0.9, 0.8], 1),  # of two in the middle the lower
        ([0.9, 0.8, 0.7, 0.95], 1),
        ([0.9, 0.9, 0.9], 1),
        ([0.9, 0.9], 0),  # of equals the first
    ],
)
def test_the_median_by_validation_accuracy_ships(scores: list[float], repeat: int) -> None:
    finals = finals_of(*scores)
    assert shipped(list(finals), finals).repeat == repeat


def test_test_accuracy_is_counted_on_the_file(digits, digits_config) -> None:
    outcome = run_trial(digits, _baseline_spec(digits_config))
    file = outcome.files["model.onnx"]
    logits = predict(file, digits.test.images, mean=digits.mean, std=digits.std)
    right = (logits.argmax(axis=1) == digits.test.labels).mean()
    measured = on_test(digits, file)
    assert measured["test_accuracy"] == pytest.approx(right)
    spread = (right * (1 - right) / len(digits.test)) ** 0.5
    assert measured["test_standard_error"] == pytest.approx(spread)
