import dataclasses
import subprocess
import sys

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import NothingMatchesError, RunError, UserError
from slimtune.results.run import Run, open_run
from slimtune.results.store.final import FinalRow, write_final
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

# accuracy, bytes, ms; trial 2 is dominated by 1, trial 3 failed, 4 repeats 1 exactly.
TRIALS = [
    (0.95, 4000, 2.0),
    (0.90, 1000, 1.0),
    (0.90, 1500, 1.0),
    None,
    (0.90, 1000, 1.0),
    (0.50, 800, 0.9),
]


@pytest.fixture
def folder(tmp_path):
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes", "latency_ms"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 4400, "latency_ms": 2.2},
        "workload": {"fingerprint": "0" * 64},
    }
    return RunFolder.create(tmp_path / "a", manifest)


@pytest.fixture
def run(folder):
    for number, values in enumerate(TRIALS):
        names = folder.manifest["objectives"]
        record = TrialRecord(
            number=number,
            status="complete" if values else "failed",
            recipe={},
            pipeline=f"pipeline {number}",
            conditions=Conditions(seed=number),
            objectives=dict(zip(names, values, strict=True)) if values else {},
            error=None if values else "diverged",
        )
        folder.write_trial(record, {}, {"model.onnx": b"x"} if values else {})
    baseline = {"accuracy": 0.96, "size_bytes": 4000, "latency_ms": 2.0}
    folder.write_baseline({"objectives": baseline}, {})
    return open_run(folder.path)


def test_the_front_holds_the_non_dominated_trials_the_most_accurate_first(run):
    front = run.front()
    assert front["trial"].tolist() == [0, 1, 4, 5]
    assert front["accuracy"].tolist() == [0.95, 0.90, 0.90, 0.50]
    assert front["pipeline"].tolist()[1] == "pipeline 1"
    assert front["size_bytes"].dtype == "int64"
    assert front["size_ratio"].tolist() == [1.0, 4.0, 4.0, 5.0]
    assert front["latency_ratio"].tolist() == pytest.approx([1.0, 2.0, 2.0, 2 / 0.9])
    assert "test_accuracy" not in front


def test_the_knee_is_flagged_once_and_is_what_pick_returns(run):
    front = run.front()
    assert front["knee"].tolist() == [False, True, False, False]
    member = run.pick()
    assert (member.number, member.record.pipeline) == (1, "pipeline 1")
    assert member.path == run.path / "trials" / "0001"


def test_limits_reach_the_selection(run):
    assert run.pick("size", min_accuracy=0.9).number == 1
    assert run.pick("accuracy", max_latency_ms=0.95).number == 5
    with pytest.raises(NothingMatchesError, match="closest: trial 0 misses accuracy by 0.01"):
        run.pick(min_accuracy=0.96)


def test_a_member_is_exported_from_the_front(run, tmp_path):
    number = run.front()["trial"].iloc[0]  # a numpy integer
    out = run.trial(number).export(tmp_path / "deploy")
    assert (out / "model.onnx").read_bytes() == b"x"


def test_a_failed_trial_is_no_member(run):
    with pytest.raises(
        UserError, match="trial 3 failed: diverged; see slimtune rerun .* --trial 3"
    ):
        run.trial(3)
    with pytest.raises(UserError, match=r"trial 99 does not exist \(0-5\)"):
        run.trial(99)


def test_hypervolume_is_counted_from_the_stored_reference(run):
    # By hand, in slabs of accuracy: each box holds the ones before it.
    volume = 0.95 * 400 * 0.2 + 0.90 * (3400 * 1.2 - 400 * 0.2) + 0.50 * (3600 * 1.3 - 3400 * 1.2)
    assert run.hypervolume() == pytest.approx(volume)


def test_the_final_measurement_replaces_latencies_and_drops_what_it_shows_dominated(run):
    rows = [
        FinalRow(trial=None, test_accuracy=0.94, test_standard_error=0.01, latency_ms=4.0),
        FinalRow(trial=0, test_accuracy=0.93, test_standard_error=0.01, latency_ms=3.0),
        FinalRow(trial=1, test_accuracy=0.89, test_standard_error=0.02, latency_ms=2.0),
        FinalRow(trial=4, test_accuracy=0.88, test_standard_error=0.02, latency_ms=2.1),
        FinalRow(
            trial=5, test_accuracy=0.49, test_standard_error=0.02, latency_ms=1.0, stable=False
        ),
    ]
    volume = run.hypervolume()
    write_final(run.path, rows)
    front = run.front()
    assert front["trial"].tolist() == [0, 1, 5]  # 4 equals 1 but turned out slower
    assert front["latency_ms"].tolist() == [3.0, 2.0, 1.0]
    assert front["trial_latency_ms"].tolist() == [2.0, 1.0, 0.9]
    assert front["test_accuracy"].tolist() == [0.93, 0.89, 0.49]
    assert front["stable"].tolist() == [True, True, False]
    assert front["latency_ratio"].tolist() == [4 / 3, 2.0, 4.0]
    assert front["knee"].sum() == 1
    assert run.hypervolume() == volume


def test_a_final_measurement_older_than_the_front_ranks_nothing(run):
    rows = [FinalRow(trial=0, test_accuracy=0.93, latency_ms=30.0)]
    write_final(run.path, rows)
    front = run.front()
    assert front["latency_ms"].tolist() == [2.0, 1.0, 1.0, 0.9]
    assert front["test_accuracy"].isna().tolist() == [False, True, True, True]
    assert "trial_latency_ms" not in front
    assert front["latency_ratio"].iloc[0] == 1.0


def test_a_run_without_a_complete_trial_has_an_empty_front_with_its_columns(folder):
    record = TrialRecord(
        number=0,
        status="failed",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        error="no",
    )
    folder.write_trial(record, {}, {})
    run = Run(folder)
    front = run.front()
    assert len(front) == 0
    assert front.columns[:4].tolist() == ["trial", *folder.manifest["objectives"]]
    assert run.hypervolume() == 0
    with pytest.raises(NothingMatchesError):
        run.pick()
    with pytest.raises(RunError):
        run.folder.baseline()


def test_a_damaged_record_stops_the_front_and_is_not_deleted(run):
    path = run.path / "trials" / "0001" / "result.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RunError, match="trials/0001/result.json:"):
        run.front()
    assert path.exists()


def test_opening_a_run_loads_neither_torch_nor_the_search():
    code = (
        "import sys, slimtune.results.views.tables\n"
        "heavy = {'torch', 'optuna', 'ray', 'onnx', 'onnxruntime', 'torch_pruning'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def limited(run: Run, **limits: float) -> Run:
    """The same run as if its search had had these constraints."""
    manifest = {**run.manifest, "limits": limits}
    return Run(RunFolder(run.path, manifest))


def test_trials_that_break_a_constraint_are_not_on_the_front(run):
    small = limited(run, size_bytes=1000.0, accuracy=0.6)
    assert small.front()["trial"].tolist() == [1, 4]
    assert small.pick().number == 1
    assert small.nearest_miss() == ""
    assert 0 < small.hypervolume() < run.hypervolume()


def test_a_trial_that_only_infeasible_ones_dominate_is_on_the_front(run):
    assert limited(run, params=5.0).front().empty  # which no trial of this run has measured
    kept = limited(run, latency_ms=1.0, size_bytes=5000.0)
    assert 0 not in kept.front()["trial"].tolist()


def test_when_none_keeps_the_constraints_the_nearest_miss_is_named(run):
    tight = limited(run, size_bytes=700.0, accuracy=0.8)
    assert tight.front().empty and tight.hypervolume() == 0
    missed = "no trial has size <= 700 B and accuracy >= 0.8; closest: trial 5 misses"
    assert tight.nearest_miss().startswith(missed[:-14])
    with pytest.raises(NothingMatchesError, match="closest: trial"):
        tight.pick()


def test_a_member_that_breaks_a_limit_when_measured_together_leaves_the_front(run):
    kept = limited(run, latency_ms=1.5)
    assert kept.front()["trial"].tolist() == [1, 4, 5]
    rows = [FinalRow(trial=n, latency_ms=ms) for n, ms in ((1, 1.4), (4, 1.6), (5, 1.3))]
    write_final(run.path, rows)
    assert kept.front()["trial"].tolist() == [1, 5]
    write_final(run.path, [FinalRow(trial=row.trial, latency_ms=1.7) for row in rows])
    assert kept.front().empty
    assert "closest: trial 1 misses latency by 0.2 ms" in kept.nearest_miss()


def with_trial(run, number, values, stable=True):
    names = run.manifest["objectives"]
    record = TrialRecord(
        number=number,
        status="complete",
        recipe={},
        pipeline=f"pipeline {number}",
        conditions=Conditions(seed=0),
        objectives=dict(zip(names, values, strict=True)),
        metrics={"latency_stable": stable},
    )
    run.folder.write_trial(record, {}, {"model.onnx": b"x"})


def measured_together(run, baseline_ms, **more):
    """Write what a joint measurement finds of all contenders."""
    latencies = {r.number: r.objectives["latency_ms"] for r in run.contenders()}
    latencies |= {int(name[1:]): ms for name, ms in more.items()}
    rows = [FinalRow(trial=None, latency_ms=baseline_ms)]
    rows += [FinalRow(trial=number, latency_ms=ms) for number, ms in latencies.items()]
    write_final(run.path, rows)


def test_a_trial_whose_latency_was_unstable_joins_the_front_when_it_is_measured_together(run):
    with_trial(run, 6, (0.93, 4100, 3.0), stable=False)  # by this, trial 0 dominates it
    assert 6 not in run.front()["trial"].tolist()
    assert 6 in [record.number for record in run.contenders()]
    measured_together(run, 2.0, t6=1.5)
    assert 6 in run.front()["trial"].tolist()
    measured_together(run, 2.0, t6=2.1)
    assert 6 not in run.front()["trial"].tolist()


def test_an_unstable_latency_breaks_no_limit_until_it_is_measured_together(run):
    run.manifest["limits"] = {"latency_ms": 1.4}
    with_trial(run, 6, (0.93, 900, 1.823), stable=False)
    front = run.front().set_index("trial")
    assert 6 in front.index and not front["stable"][6]
    measured_together(run, 2.0, t6=1.18)
    assert 6 in run.front()["trial"].tolist()
    measured_together(run, 2.0, t6=1.6)
    assert 6 not in run.front()["trial"].tolist()


def test_a_relative_limit_is_a_share_of_what_the_baseline_takes_beside_the_trials(run):
    run.manifest["limits"] = {"latency_ms": 1.4}
    run.manifest["config"]["constraints"] = {"max_latency": "0.7x"}
    with_trial(run, 6, (0.93, 900, 1.5))  # over 1.4, which was 0.7x of a baseline of 2 ms
    assert 6 not in run.front()["trial"].tolist()
    assert 6 in [record.number for record in run.contenders()]
    measured_together(run, 2.2, t6=1.5)  # 0.7x is 1.54 now
    assert 6 in run.front()["trial"].tolist()


def test_a_run_at_some_records_reads_nothing_again(run):
    known = run.at(list(reversed(run.records)))
    (run.path / "trials" / "0001" / "result.json").write_text("{")
    assert known.front()["trial"].tolist() == [0, 1, 4, 5]
    assert [record.number for record in known.records] == [0, 1, 2, 3, 4, 5]


def test_all_trials_have_their_status_and_whether_they_are_on_the_front(run):
    table = run.trials()
    assert table["trial"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["status"].tolist().count("complete") == 5
    assert table["on_front"].tolist() == [True, True, False, False, True, True]
    assert table["error"][3] == "diverged" and table["accuracy"].isna().tolist()[3]


def test_the_growth_ends_at_the_share_of_the_box_that_the_front_dominates(run):
    growth = run.growth()
    assert growth["trial"].tolist() == [0, 1, 2, 3, 4, 5]
    assert growth["hypervolume"].is_monotonic_increasing
    share = run.hypervolume() / (1.0 * 4400 * 2.2)
    assert growth["hypervolume"].iloc[-1] == pytest.approx(share)
    assert run.hypervolume_share() == pytest.approx(share)
    assert limited(run, size_bytes=900.0).growth()["hypervolume"].tolist()[:5] == [0.0] * 5


def test_the_front_has_its_caveats(run):
    front = run.front()
    assert front["collapsed"].tolist() == [False] * 4  # nothing is known of the classes
    ten = {**run.manifest, "workload": {"fingerprint": "0", "classes": list("0123456789")}}
    told = Run(RunFolder(run.path, ten)).front()
    assert told["collapsed"].tolist() == [False, False, False, True]  # 0.5 of 0.96
    assert told["accuracy_standard_error"].isna().all()
    ten["workload"]["validation"] = 100
    told = Run(RunFolder(run.path, ten)).front()
    assert told["accuracy_standard_error"].iloc[1] == pytest.approx(0.03)


@pytest.mark.parametrize(
    "asked",
    [
        {"min_accuracy": 0.5},
        {"min_accuracy": 0.9, "max_size": "none"},
        {"min_accuracy": None, "max_size": None},
        {"max_size": "0.5x"},
        {"max_latency": "1ms"},
    ],
)
def test_a_view_shows_what_a_search_with_its_limits_would_have_shown(run, asked):
    searched = limited(run, size_bytes=1000.0, accuracy=0.6)
    seen = searched.within(asked)
    same = limited(run, **seen.limits)
    assert seen.front()["trial"].tolist() == same.front()["trial"].tolist()
    assert searched.front(asked)["trial"].tolist() == same.front()["trial"].tolist()
    assert seen.pick("size").number == same.pick("size").number
    assert seen.hypervolume() == same.hypervolume()
    assert seen.trials()["on_front"].tolist() == same.trials()["on_front"].tolist()
    assert seen.within({}) is seen and searched.limits == {"size_bytes": 1000, "accuracy": 0.6}


def test_a_tighter_view_judges_latencies_that_were_measured_together(run):
    rows = [FinalRow(trial=n, latency_ms=ms) for n, ms in ((0, 2.2), (1, 1.6), (4, 1.7), (5, 0.8))]
    write_final(run.path, [FinalRow(trial=None, latency_ms=2.2), *rows])
    own = dict(zip(run.front()["trial"], run.front()["trial_latency_ms"], strict=True))
    assert own[1] < 1.5 < 1.6  # by what the trial measured itself it would keep the limit
    assert run.front({"max_latency": "1.5ms"})["trial"].tolist() == [5]
    assert run.front({"max_latency": "0.75x"})["trial"].tolist() == [1, 5]  # of 2.2, not of 2.0
    assert run.within({"max_latency": "0.75x"}).limits["latency_ms"] == pytest.approx(1.65)


def test_a_view_that_nothing_keeps_names_the_nearest_in_the_unit_that_was_asked_for(run):
    assert run.front({"max_size": "0.1kB"}).empty
    missed = run.within({"max_size": "0.1kB"}).nearest_miss()
    assert missed.startswith("no trial has size <= 0.1 kB; closest: trial ")
    assert missed.endswith(" kB")
    with pytest.raises(NothingMatchesError, match="size <= 0.1 kB"):
        run.pick(limits={"max_size": "0.1kB"})
    with pytest.raises(UserError, match="latency_ms is not an objective of this run"):
        Run(RunFolder(run.path, {**run.manifest, "objectives": ["accuracy", "size_bytes"]})).at(
            [dataclasses.replace(run.records[0], objectives={"accuracy": 0.5, "size_bytes": 1.0})]
        ).within({"max_latency": "2ms"})
