"""Every fault that the project is held against, and the tests that cause it.

F15 (a torn line of a log) cannot happen: a study is SQLite and every file is renamed into place.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slimtune.errors import ModelError
from slimtune.measurement.latency import Latency
from slimtune.results.run import open_run
from slimtune.search.session import run_search
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.search.underway import trials

ROOT = Path(__file__).parents[2]
KILLED = "faults/test_killed_driver.py"
SIGNALS = "faults/test_signals.py"
HERE = "faults/test_matrix.py"
MATRIX = {
    "F1 the driver is killed": [
        (KILLED, "test_three_kills_of_a_search_lose_nothing"),
        (KILLED, "test_twenty_kills_of_one_search_lose_nothing"),
    ],
    "F2 a worker is killed": [
        ("search/executors/test_ray_tune.py", "test_a_killed_worker_is_replaced"),
        (KILLED, "test_killed_workers_cost_no_trial"),
    ],
    "F3 Ctrl-C once and twice": [
        (SIGNALS, "test_a_second_signal_does_not_wait_for_the_trial"),
        (SIGNALS, "test_on_ray_running_trials_end_within_the_grace_period"),
    ],
    "F4 SIGTERM": [(SIGNALS, "test_one_sigterm_lets_the_trial_end_and_says_how_to_go_on")],
    "F5 a node is removed": [
        ("faults/test_cluster.py", "test_nodes_that_are_killed_cost_no_trial"),
        (
            "search/executors/test_deaths.py",
            "test_the_death_of_a_node_is_not_blamed_on_its_trials",
        ),
    ],
    "F6 a trial raises": [
        ("search/executors/test_ray_tune.py", "test_a_trial_that_raises_fails_with_its_traceback"),
        (HERE, "test_each_faulty_trial_is_one_failure_with_its_reason"),
    ],
    "F7 out of memory": [
        ("search/executors/test_run_all.py", "test_what_ran_out_of_memory_runs_once_more"),
        ("search/executors/test_deaths.py", "test_a_process_that_ray_killed_for_memory"),
    ],
    "F8 a trial hangs": [
        ("search/trial/process/test_timeouts.py", "test_a_trial_that_takes_too_long_fails"),
        ("search/executors/test_deaths.py", "test_a_trial_that_hangs_in_python_fails"),
        ("search/executors/test_deaths.py", "test_a_trial_that_hangs_in_native_code_fails"),
    ],
    "F9 NaN": [(HERE, "test_each_faulty_trial_is_one_failure_with_its_reason")],
    "F10 a metric out of range": [(HERE, "test_each_faulty_trial_is_one_failure_with_its_reason")],
    "F11 an outcome told twice": [
        ("search/proposing/test_proposer.py", "test_of_two_outcomes_of_one_trial_the_first_stands")
    ],
    "F12 an outcome told too late": [
        (
            "search/proposing/test_proposer.py",
            "test_of_two_outcomes_of_one_trial_the_first_stands",
        ),
        ("results/store/test_folder.py", "test_a_finished_trial_is_never_overwritten"),
    ],
    "F13 no room for a trial": [
        (
            "search/trial/test_recorder.py",
            "test_a_trial_that_does_not_fit_on_the_disk_is_one_failure",
        ),
        ("search/trial/test_recorder.py", "test_three_in_a_row_end_the_search"),
    ],
    "F14 no room for the study": [
        ("search/proposing/test_proposer.py", "test_a_database_that_cannot_be_written"),
        (
            "search/trial/test_recorder.py",
            "test_a_disk_without_room_for_the_failure_ends_the_search",
        ),
    ],
    "F16 a damaged file": [
        (
            "search/proposing/test_reconcile.py",
            "test_a_study_that_is_lost_is_made_again_from_the_trials",
        ),
        ("search/proposing/test_reconcile.py", "test_a_trial_with_a_damaged_record_is_set_aside"),
        ("results/store/test_files.py", "test_damaged_json_is_refused_in_one_line"),
    ],
    "F17 a flipped bit": [
        ("results/store/test_folder.py", "test_one_flipped_bit_is_found"),
        ("results/delivery/test_delivery.py", "test_a_changed_file_is_not_delivered"),
    ],
    "F18 a stale lock": [("results/store/test_lock.py", "test_a_killed_writer_holds_nothing")],
    "F19 two searches, one folder": [
        ("results/store/test_lock.py", "test_a_second_writer_is_refused"),
        ("search/test_session.py", "test_a_run_that_another_process_writes_is_refused"),
    ],
    "F20 a resume with other settings": [
        ("search/resuming/test_resume.py", "test_anything_else_is_refused_with_a_line_a_change")
    ],
    "F21 a run of another version": [
        ("results/store/test_folder.py", "test_another_schema_or_a_broken_manifest_is_refused")
    ],
    "F22 the data vanish": [
        ("search/review/test_rerun.py", "test_a_rerun_on_changed_data_is_refused"),
        (
            "search/resuming/test_resumed_search.py",
            "test_a_resume_with_another_setting_or_other_data",
        ),
    ],
    "F23 the file is not the network": [
        ("measurement/test_accuracy.py", "test_a_float_file_that_is_off_by_a_percent_is_refused"),
        (HERE, "test_each_faulty_trial_is_one_failure_with_its_reason"),
    ],
    "F24 a noisy machine": [
        (
            "measurement/test_latency.py",
            "test_a_round_counts_if_its_probes_are_at_full_speed",
        ),
        ("measurement/test_latency.py", "test_slow_spells_of_seconds_are_waited_for"),
    ],
    "F25 a clock that steps back": [(HERE, "test_no_duration_is_taken_from_the_wall_clock")],
    "F26 no home": [(HERE, "test_ray_starts_without_a_home_to_write_to")],
    "F27 Ray cannot start": [(HERE, "test_a_ray_that_cannot_start_is_one_line")],
    "F28 a kill while a trial is written": [
        ("results/store/test_folder.py", "test_whatever_moment_the_writer_is_killed_every_trial"),
        (
            "search/proposing/test_reconcile.py",
            "test_a_trial_that_was_written_but_not_told_is_told",
        ),
    ],
}


@pytest.mark.parametrize("fault", MATRIX)
def test_every_fault_has_a_test(fault: str) -> None:
    for file, name in MATRIX[fault]:
        assert f"def {name}" in (ROOT / "tests" / file).read_text(), f"{file}: {name}"


FAULTS = {
    1: ("failed: non-finite: latency_ms is nan", {"ms": float("nan")}),
    2: ("failed: non-finite: latency_ms is inf", {"ms": float("inf")}),
    3: ("failed: metric out of range: latency_ms is -1.0", {"ms": -1.0}),
    4: ("failed: ValueError: no such thing", {}),
    5: ("failed: missing objective: latency_ms", {}),
    6: ("failed: the file differs", {}),
}


def faulty(workload: Any, spec: TrialSpec, aids: Aids | None = None, **options: Any) -> Any:
    """A real trial, but for what happens when its latency is measured."""
    aids = aids or Aids()

    def measure(files: Any, **how: Any) -> Any:
        if spec.number == 4:
            raise ValueError("no such thing\nat all")
        if spec.number == 6:
            raise ModelError("the file differs")
        found = Latency(ms=0.1, rounds=1, accepted=1, stable=False, threads=1)
        return [dataclasses.replace(found, **FAULTS.get(spec.number, ("", {}))[1])]

    aids = dataclasses.replace(aids, measure_latency=measure)
    outcome = run_trial(workload, spec, aids, **options)
    if spec.number == 5:
        known = {k: v for k, v in outcome.objectives.items() if k != "latency_ms"}
        record = dataclasses.replace(outcome.payload, objectives=known)
        outcome = dataclasses.replace(outcome, objectives=known, payload=record)
    return outcome


def test_each_faulty_trial_is_one_failure_with_its_reason(
    tmp_path, digits_config, audited, monkeypatch
) -> None:
    """NaN, inf, a negative latency, an exception, a missing objective and a refused file."""
    monkeypatch.setattr(trials, "run_trial", faulty)
    space = {
        "train": {"epochs": 0},
        "prune": {"method": ["l1"]},
        "quantize": {"method": "none"},
        "distill": {"method": "none"},
    }
    changes = {"trials": 8, "space": space, "start": "none"}
    config = digits_config.model_copy(
        update={**changes, "baseline": digits_config.baseline.model_copy(update={"epochs": 1})}
    )
    run_search(config, tmp_path / "run")
    records = open_run(tmp_path / "run").records
    found = {r.number: f"{r.status}: {r.error}" for r in records}
    for number, (reason, _) in FAULTS.items():
        assert found[number].startswith(reason), found
        assert "\n" not in found[number]
    assert found[0] == found[7] == "complete: None"
    counts = audited(tmp_path / "run", 8)
    assert (counts["complete"], counts["failed"], counts["running"]) == (2, 6, 0)
    front = open_run(tmp_path / "run").front()
    assert set(front["trial"]) <= {0, 7}


def test_no_duration_is_taken_from_the_wall_clock() -> None:
    package = ROOT / "slimtune"
    asking = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if "time.time()" in file.read_text()
    }
    # Points in time for other programs, `slimtune watch` and MLflow; and the age of a folder.
    points = {"search/listeners/status_file.py", "search/listeners/trackers/mlflow.py"}
    assert asking == {*points, "search/executors/ray_folder.py"}


START = """
from slimtune.search.executors.ray_session import ray_session
with ray_session(None, concurrency=1, cpus=1, gpus=0, shared_bytes=0):
    print("started")
"""


def started_with(**environment: str) -> subprocess.CompletedProcess[str]:
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    return subprocess.run(
        [sys.executable, "-c", START],
        env={**mine, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_ray_starts_without_a_home_to_write_to() -> None:
    done = started_with(HOME="/proc/1/none")  # where not even root can make a folder
    assert done.stdout == "started\n", done.stderr


def test_a_ray_that_cannot_start_is_one_line_with_the_way_out() -> None:
    done = started_with(RAY_TMPDIR="/proc/1/none")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("slimtune.errors.SlimtuneError: cannot start Ray on this host: ")
    assert last.endswith("; --no-ray runs without Ray")
