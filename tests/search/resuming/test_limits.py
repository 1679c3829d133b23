import pytest

from slimtune.conditions import Conditions
from slimtune.errors import ConfigError
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.listeners.events import LimitsSet
from slimtune.search.resuming.limits import breaches, record_settings, tell_limits
from slimtune.search.settings.config import make_config

MEASURED = {"accuracy": 0.9, "size_bytes": 1000.0, "latency_ms": 2.0}


def config_of(**constraints):
    return make_config({"model": "resnet8", "data": "digits", "constraints": constraints})


@pytest.fixture
def folder(tmp_path):
    manifest = {
        "config": config_of(max_size="0.5x", min_accuracy="0.8").model_dump(mode="json"),
        "objectives": list(MEASURED),
        "reference_point": MEASURED,
        "limits": {"size_bytes": 512.0, "accuracy": 0.8},  # 0.5x of another measurement
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "run", manifest)
    folder.write_baseline({"objectives": MEASURED, "metrics": {"params": 5}}, {})
    reasons = {
        0: "before training: size 900 B is over the limit of 512 B",
        1: "structure: latency_ms 9 is over the limit 2",  # as version 1 wrote it
        2: "after epoch 1 of 4 (fine-tune): 4 of 5 comparable trials were better",
    }
    for number in range(4):
        stopped = number in reasons
        record = TrialRecord(
            number=number,
            status="stopped" if stopped else "complete",
            recipe={},
            pipeline="p",
            conditions=Conditions(seed=0),
            objectives={**MEASURED, "size_bytes": 400.0 + 200 * number},
            error=reasons.get(number),
        )
        folder.write_trial(record, {}, {})
    return folder


def test_a_limit_in_other_words_is_resolved_anew_and_the_rest_stays(folder):
    changed = record_settings(folder, config_of(max_size="0.5x", min_accuracy="-30%"))
    assert changed.manifest["limits"] == pytest.approx({"accuracy": 0.6, "size_bytes": 512.0})
    again = RunFolder.open(folder.path)
    assert again.manifest["limits"] == changed.manifest["limits"]
    assert again.manifest["config"]["constraints"]["min_accuracy"] == "-30%"
    same = config_of(max_size="0.5x", min_accuracy="0.8")
    assert record_settings(folder, same) is folder


def test_a_limit_can_be_taken_away_and_another_added(folder):
    changed = record_settings(folder, config_of(max_size="none", max_latency="1x"))
    assert changed.manifest["limits"] == {"latency_ms": 2.0}
    with pytest.raises(ConfigError, match="must be in 0..1"):
        record_settings(folder, config_of(min_accuracy="+20%"))


def test_changed_limits_are_told_with_those_they_stopped(folder):
    told = []
    tell_limits(folder, told.append)
    limits, asked = (
        {"size_bytes": 512.0, "accuracy": 0.8},
        {"size_bytes": "0.5x", "accuracy": "0.8"},
    )
    assert told == [LimitsSet(limits, asked)]
    told.clear()
    changed = record_settings(folder, config_of())
    tell_limits(changed, told.append, folder)
    [event] = told
    assert event.limits == {} and event.before == limits
    assert event.stopped == (0, 1)
    told.clear()
    tighter = record_settings(folder, config_of(max_size="0.4x", min_accuracy="0.8"))
    tell_limits(tighter, told.append, folder)
    assert told[0].changed and told[0].stopped == ()
    told.clear()
    tell_limits(changed, told.append, changed)
    assert told == []


def test_finished_trials_are_judged_by_the_limits_as_they_are_now(folder):
    assert breaches(folder)[3]["size_bytes"] == pytest.approx((1000 - 512) / 512)
    looser = record_settings(folder, config_of(max_size="1x"))
    assert breaches(looser)[3] == {"size_bytes": 0.0}
    assert breaches(looser).keys() == {0, 1, 2, 3}
