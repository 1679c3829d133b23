import json
import os
from pathlib import Path

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import RunError, UserError
from slimtune.results.delivery.delivery import export_member
from slimtune.results.run import Run, open_run
from slimtune.results.store.finals import (
    FinalKey,
    final_keys,
    folder_of,
    record_of,
    what_ships,
    write_final_run,
)
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.record import TrialRecord

# accuracy, bytes, ms of the trials; the last is dominated by the second
TRIALS = [(0.95, 4000, 2.0), (0.90, 1000, 1.0), (0.80, 500, 0.8), (0.70, 1500, 1.2)]
BASELINE = JointRow(trial=None, test_accuracy=0.96, test_standard_error=0.01, latency_ms=2.1)


def record(folder: RunFolder, number: int, values: tuple[float, int, float], **changes):
    objectives = dict(zip(folder.manifest["objectives"], values, strict=True))
    known = {"number": number, "status": "complete", "recipe": {}, "pipeline": f"p{number}"}
    known["conditions"] = Conditions(number)
    return TrialRecord(**{**known, "objectives": objectives, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes", "latency_ms"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 4400, "latency_ms": 2.2},
        "workload": {"fingerprint": "0" * 64},
        "limits": {"latency_ms": 2.5},
    }
    folder = RunFolder.create(tmp_path / "a", manifest)
    for number, values in enumerate(TRIALS):
        folder.write_trial(record(folder, number, values), {}, {"model.onnx": b"cheap"})
    folder.write_baseline({"objectives": record(folder, 0, (0.96, 4000, 2.0)).objectives}, {})
    return folder


def add(folder: RunFolder, key: FinalKey, values: tuple[float, int, float], **changes) -> None:
    spec = {"number": 99, "recipe": {}, "seed": 7}
    files = {"model.onnx": key.name.encode()}
    made = record(folder, 99, values, pipeline=f"p{key.trial}", **changes)
    assert write_final_run(folder, key, made, spec=spec, files=files)


@pytest.fixture
def run(folder: RunFolder) -> Run:
    """Trials 0, 1 and 2 at full length: 0 has come down to 1's accuracy, 2 has come up."""
    finals = {FinalKey(0, 30, 0): (0.93, 4000, 2.0), FinalKey(1, 30, 0): (0.94, 1100, 1.0)}
    finals |= {FinalKey(2, 30, 0): (0.90, 500, 0.8), FinalKey(2, 30, 1): (0.92, 500, 0.8)}
    for key, values in finals.items():
        add(folder, key, values)
    rows = [BASELINE]
    for trial, ms in ((0, 1.9), (1, 1.1), (2, 0.9)):
        several = trial == 2
        rows.append(
            JointRow(
                trial=trial,
                test_accuracy=0.9,
                test_standard_error=0.02,
                latency_ms=ms,
                final=FinalKey(trial, 30, 0).name,
                repeats=2 if several else 1,
                accuracy_mean=0.91 if several else finals[FinalKey(trial, 30, 0)][0],
                accuracy_sd=0.014 if several else None,
                test_accuracy_mean=0.89 if several else 0.9,
                test_accuracy_sd=0.01 if several else None,
            )
        )
    write_joint(folder.path, rows)
    return open_run(folder.path)


def test_a_final_is_a_folder_as_a_trials_under_its_trials_number(run: Run) -> None:
    path = run.path / "finals" / "0001-e30-r0"
    assert json.loads((path / "spec.json").read_text())["number"] == 1
    assert json.loads((path / "result.json").read_text())["number"] == 1
    assert record_of(run.folder, FinalKey(1, 30, 0)).objectives["accuracy"] == 0.94
    assert record_of(run.folder, 1).objectives["accuracy"] == 0.90


def test_a_final_that_is_there_is_kept(run: Run) -> None:
    key = FinalKey(1, 30, 0)
    again = record(run.folder, 1, (0.1, 1, 1.0))
    assert not write_final_run(run.folder, key, again, spec={}, files={})
    assert record_of(run.folder, key).objectives["accuracy"] == 0.94


def test_finals_are_listed_in_order_and_nothing_else_is(run: Run) -> None:
    left = f"0009-e3-r0.tmp-{os.getpid()}"
    for name in ("0001-e30-r0.damaged-1", left, "1-e3-r0", "x"):
        (run.path / "finals" / name).mkdir()
    assert [key.name for key in final_keys(run.folder)] == [
        "0000-e30-r0",
        "0001-e30-r0",
        "0002-e30-r0",
        "0002-e30-r1",
    ]
    assert run.folder.sweep() == [run.path / "finals" / left]


@pytest.mark.parametrize(
    "name", ["", "17", "0017-e30", "017-e30-r0", "../x", "0017-e30-r0/..", "0017-e030-r0"]
)
def test_a_name_that_is_no_finals_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="a final has a name such as 0017-e30-r0"):
        FinalKey.parse(name)


def test_a_final_that_is_not_there_is_told_with_those_that_are(run: Run) -> None:
    with pytest.raises(UserError, match=r"0002-e9-r0 does not exist \(trial 2 has 0002-e30-r0,"):
        record_of(run.folder, FinalKey(2, 9, 0))
    with pytest.raises(UserError, match=r"\(trial 8 has none\)"):
        record_of(run.folder, FinalKey(8, 9, 0))


def test_a_final_that_is_a_link_or_anothers_is_refused(run: Run, tmp_path: Path) -> None:
    (run.path / "finals" / "0003-e30-r0").symlink_to(tmp_path)
    with pytest.raises(RunError, match="path leaves the run folder"):
        folder_of(run.folder, FinalKey(3, 30, 0))
    (run.path / "finals" / "0000-e30-r0").rename(run.path / "finals" / "0003-e30-r1")
    with pytest.raises(RunError, match="is the record of trial 0, not of 3"):
        record_of(run.folder, FinalKey(3, 30, 1))


def test_the_front_is_that_of_the_finals_the_most_accurate_on_average_first(run: Run) -> None:
    front = run.front()
    assert front["trial"].tolist() == [1, 2]  # at full length, 1 dominates 0
    assert front["accuracy"].tolist() == [0.94, 0.90]
    assert front["size_bytes"].tolist() == [1100, 500]
    assert front["latency_ms"].tolist() == [1.1, 0.9]
    assert front["trial_latency_ms"].tolist() == [1.0, 0.8]
    assert front["final"].tolist() == ["0001-e30-r0", "0002-e30-r0"]
    assert front["accuracy_mean"].tolist() == [0.94, 0.91]
    assert front["accuracy_sd"].isna().tolist() == [True, False]
    assert front["repeats"].tolist() == [1, 2]
    assert front["size_ratio"].tolist() == [4000 / 1100, 8.0]


def test_what_is_picked_and_exported_is_the_final_that_ships(run: Run, tmp_path: Path) -> None:
    member = run.pick("size")
    assert (member.number, member.path.name) == (2, "0002-e30-r0")
    assert member.record.objectives["accuracy"] == 0.90
    out = member.export(tmp_path / "deploy")
    assert (out / "model.onnx").read_bytes() == b"0002-e30-r0"
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["final"]["test_accuracy_sd"] == 0.01
    left = export_member(run.folder, 3, tmp_path / "other")  # has no final
    assert (left / "model.onnx").read_bytes() == b"cheap"


def test_a_final_that_was_changed_is_not_delivered(run: Run, tmp_path: Path) -> None:
    (run.path / "finals" / "0002-e30-r0" / "model.onnx").write_bytes(b"other")
    with pytest.raises(RunError, match=r"mismatch for final 0002-e30-r0 .* --resume"):
        run.pick("size").export(tmp_path / "deploy")


def test_hypervolume_and_candidates_are_those_of_the_trials(run: Run, folder: RunFolder) -> None:
    before = Run(folder)
    assert [r.number for r in run.candidates()] == [0, 1, 2]
    assert run.hypervolume() == before.hypervolume()
    assert all(r.objectives["accuracy"] == TRIALS[r.number][0] for r in run.records)


def test_a_trial_that_was_added_waits_for_its_final(run: Run) -> None:
    before = run.front()
    run.folder.write_trial(record(run.folder, 4, (0.99, 100, 0.1)), {}, {"model.onnx": b"x"})
    assert run.front().equals(before)
    assert [r.number for r in run.candidates()] == [4]


def test_a_final_that_breaks_a_limit_leaves_the_front(run: Run) -> None:
    rows = [
        JointRow(trial=1, latency_ms=2.6, final="0001-e30-r0", repeats=1, accuracy_mean=0.94),
        JointRow(trial=2, latency_ms=0.9, final="0002-e30-r0", repeats=2, accuracy_mean=0.91),
        JointRow(trial=0, repeats=0),
    ]
    write_joint(run.path, rows)
    assert run.front()["trial"].tolist() == [2]
    write_joint(run.path, [rows[0]])
    assert run.front().empty
    assert run.nearest_miss().endswith("closest: trial 1 misses latency by 0.1 ms")


def test_a_limit_of_what_is_not_optimised_holds_for_finals_too(folder: RunFolder) -> None:
    manifest = {**folder.manifest, "objectives": ["accuracy", "size_bytes"]}
    limited = RunFolder(folder.path, manifest)
    values = {"accuracy": 0.94, "size_bytes": 1100}
    slow = record(folder, 1, (0, 0, 0), objectives=values, metrics={"latency_ms": 2.6})
    write_final_run(limited, FinalKey(1, 3, 0), slow, spec={}, files={})
    write_joint(folder.path, [JointRow(trial=1, final="0001-e3-r0", repeats=1)])
    run = Run(limited)
    assert run.front().empty
    assert run.nearest_miss().endswith("closest: trial 1 misses latency by 0.1 ms")


def test_latencies_measured_together_tell_which_candidates_stay(run: Run) -> None:
    rows = [JointRow(trial=n, latency_ms=ms) for n, ms in ((0, 2.6), (1, 1.0), (2, 1.0))]
    assert run.standing(rows) == [1, 2]  # 0 breaks the limit


def test_what_ships_of_a_run_without_finals_is_the_trial(folder: RunFolder) -> None:
    found, path = what_ships(folder, 1)
    assert (found.number, path) == (1, folder.trial_path(1))
