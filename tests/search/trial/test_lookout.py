import pytest

from slimtune.compression.rungs import Rung
from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord
from slimtune.search.trial.attempt import no_judge
from slimtune.search.trial.lookout import AT_LEAST, Ended, Lookout
from slimtune.search.trial.spec import Outcome

MEASURED = {"accuracy": 0.1, "size_bytes": 100, "macs": 7}
OBJECTIVES = ("accuracy", "size_bytes")


def record(objectives, metrics):
    payload = TrialRecord(
        number=3,
        status="stopped",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives=dict(objectives),
        metrics=dict(metrics),
    )
    return Outcome(3, "stopped", dict(objectives), payload)


def lookout(judge):
    return Lookout(judge, lambda made: dict(MEASURED), record, OBJECTIVES)


def test_nobody_looks_on_where_no_trial_is_ever_stopped() -> None:
    assert lookout(no_judge).watch() is None


def test_a_judge_is_shown_what_is_foreseen_with_the_accuracy_of_each_rung() -> None:
    shown = []
    looking = lookout(lambda outcome: shown.append(outcome) or "")
    watch = looking.watch()
    watch.on_preview(None, True)
    watch.on_rung(Rung("fine-tune 1/4", 0.6, 0.5, 1, 3))
    structure, first = shown
    assert structure.rung == "structure" and first.rung == "fine-tune 1/4"
    assert structure.objectives == {"accuracy": 0.1, "size_bytes": 100}
    assert structure.payload.metrics == {"macs": 7, "structure_certain": True, "epochs": 0}
    assert first.objectives == {"accuracy": 0.6, "size_bytes": 100}
    assert first.payload.metrics["epochs"] == 1 and first.payload.metrics["epochs_left"] == 3
    assert first.payload.rungs == looking.rungs
    assert looking.rungs == {
        "structure": {"accuracy": 0.1, "size_bytes": 100},
        "fine-tune 1/4": {"accuracy": 0.6, "size_bytes": 100, AT_LEAST: 0.5},
    }


def test_what_a_judge_has_seen_does_not_change_afterwards() -> None:
    shown = []
    watch = lookout(lambda outcome: shown.append(outcome) or "").watch()
    watch.on_preview(None, True)
    watch.on_rung(Rung("fine-tune 1/4", 0.6, 0.6, 1, 3))
    assert set(shown[0].payload.rungs) == {"structure"}


def test_a_trial_that_its_judge_ends_carries_the_reason_out() -> None:
    watch = lookout(lambda outcome: "too slow").watch()
    with pytest.raises(Ended, match="too slow") as caught:
        watch.on_preview(None, False)
    assert caught.value.outcome.reason == "too slow"
    assert caught.value.outcome.rung == "structure"
