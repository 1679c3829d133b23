import pytest

from slimtune.conditions import Conditions
from slimtune.results.objectives import parse_objectives
from slimtune.results.pareto.limit_view import LimitView
from slimtune.results.pareto.membership import Membership
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.record import TrialRecord

NAMES = ["accuracy", "size_bytes", "latency_ms"]
# accuracy, bytes, ms, stable; trial 2's latency may be much too high
TRIALS = [(0.95, 4000, 2.0, True), (0.90, 1000, 1.0, True), (0.90, 1000, 1.8, False)]


def trial(number, values):
    *objectives, stable = values
    return TrialRecord(
        number=number,
        status="complete",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives=dict(zip(NAMES, objectives, strict=True)),
        metrics={"latency_stable": stable, "macs": 100 * number},
    )


@pytest.fixture
def folder(tmp_path):
    manifest = {
        "config": {},
        "objectives": NAMES,
        "reference_point": {"accuracy": 0.0, "size_bytes": 4400, "latency_ms": 2.2},
        "workload": {"fingerprint": "0" * 64},
    }
    return RunFolder.create(tmp_path / "a", manifest)


def membership(folder, searched=None, seen=None, texts=None):
    records = [trial(number, values) for number, values in enumerate(TRIALS)]
    view = LimitView(searched or {}, texts or {})
    seen = view if seen is None else LimitView(seen, {})
    return Membership(folder, records, parse_objectives(NAMES), view, seen)


def numbers(records):
    return [record.number for record in records]


def rows(*latencies, baseline=2.0):
    timed = [JointRow(trial=n, latency_ms=ms) for n, ms in enumerate(latencies)]
    return [JointRow(trial=None, latency_ms=baseline), *timed]


def test_an_unstable_latency_makes_a_contender_but_no_candidate(folder):
    found = membership(folder)
    assert numbers(found.candidates()) == [0, 1]
    assert numbers(found.contenders()) == [0, 1, 2]
    assert found.standing(rows(2.0, 1.0, 0.9)) == [0, 2]
    assert found.standing(rows(2.0, 1.0, 1.1)) == [0, 1]


def test_what_was_measured_together_counts_where_it_covers_the_candidates(folder):
    found = membership(folder)
    write_joint(folder.path, rows(2.0, 1.0, 0.9)[:2])  # trial 1 has been added since
    assert found.members()["trial"].tolist() == [0, 1]
    write_joint(folder.path, rows(2.0, 1.0, 0.9))
    assert found.members()["trial"].tolist() == [0, 2]
    assert numbers(found.sources()[0]) == [0, 1, 2]


def test_a_view_lets_in_what_the_search_shut_out_and_narrows_later(folder):
    searched = {"size_bytes": 2000.0}
    assert membership(folder, searched).members_within_limits()["trial"].tolist() == [1]
    looser = membership(folder, searched, {"size_bytes": 5000.0})
    assert looser.members_within_limits()["trial"].tolist() == [0, 1]
    tighter = membership(folder, {"size_bytes": 5000.0}, {"size_bytes": 2000.0})
    assert tighter.members_within_limits()["trial"].tolist() == [0, 1]
    assert tighter.limits_of(tighter.members_within_limits()) == {"size_bytes": 2000.0}


def test_a_limit_on_what_is_no_objective_is_kept_by_all_members(folder):
    assert membership(folder, {"macs": 50.0}).members()["trial"].tolist() == [0]


def test_complete_trials_keep_the_views_limits(folder):
    found = membership(folder, {}, {"accuracy": 0.92})
    assert numbers(found.complete()) == [0]
    assert numbers(found.complete({})) == [0, 1, 2]


def test_a_relative_limit_is_of_the_baseline_that_was_measured_together(folder):
    found = membership(folder, {"latency_ms": 1.0}, texts={"latency_ms": "0.5x"})
    write_joint(folder.path, rows(2.0, 1.1, 1.2, baseline=2.4))
    assert found.limits_of(found.members()) == {"latency_ms": pytest.approx(1.2)}
    assert found.members_within_limits()["trial"].tolist() == [1]
