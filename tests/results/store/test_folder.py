import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from slimtune.conditions import Conditions
from slimtune.errors import RunError, UserError
from slimtune.results.store.folder import RunFolder, find_run
from slimtune.results.store.lock import RunLock
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import read_sealed, seal

MANIFEST = {
    "config": {},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
    "workload": {"fingerprint": "0" * 64},
}
FILES = {"model.onnx": b"onnx" * 100, "log.txt": b"fine"}


def make_record(number=0, status="complete", **changes):
    objectives = {"accuracy": 0.5, "size_bytes": 1000.0}
    record = TrialRecord(
        number=number,
        status=status,
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=1),
        objectives=objectives,
    )
    return dataclasses.replace(record, **changes)


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "a", MANIFEST)


def test_a_created_run_opens_with_the_same_manifest_and_no_trial(folder):
    again = RunFolder.open(str(folder.path))
    assert again.manifest == folder.manifest
    assert again.records() == []
    assert os.listdir(folder.path) == ["run.json"]
    assert again.study_path == folder.path / "study.db"


def test_an_existing_path_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("empty", "dangling", "../" + tmp_path.name):
        with pytest.raises(UserError, match="already exists: .*choose another --out"):
            RunFolder.create(tmp_path / name, MANIFEST)
    assert sorted(os.listdir(tmp_path)) == ["dangling", "empty"]
    assert os.listdir(tmp_path / "empty") == []


def test_an_incomplete_manifest_makes_no_folder(tmp_path):
    with pytest.raises(UserError):
        RunFolder.create(tmp_path / "a", {"config": {}})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", "missing", "file"])
def test_a_path_without_run_json_is_no_run(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"is not a slimtune run \(no run.json\)") as caught:
        RunFolder.open(tmp_path / name)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "has schema 2, this slimtune reads schema 1"),
        ({"objectives": []}, "at least 2"),
    ],
)
def test_another_schema_or_a_broken_manifest_is_refused(folder, change, reason):
    path = folder.path / "run.json"
    path.write_text(json.dumps({**folder.manifest, **change}))
    with pytest.raises(RunError, match=f"run.json: .*{reason}"):
        RunFolder.open(folder.path)
    path.write_text('{"schema": 1,\n "obj')
    with pytest.raises(RunError, match="run.json:2: damaged"):
        RunFolder.open(folder.path)


def test_a_written_trial_is_read_back_with_the_digests_of_its_files(folder):
    assert folder.write_trial(make_record(17), {"seed": 1}, FILES)
    path = folder.trial_path(17)
    assert path == folder.path / "trials" / "0017"
    assert sorted(os.listdir(path)) == ["log.txt", "model.onnx", "result.json", "spec.json"]
    record = folder.record(17)
    assert record.artifacts.keys() == FILES.keys()
    assert dataclasses.replace(record, artifacts={}) == make_record(17)
    assert folder.read_artifact(record, "model.onnx") == FILES["model.onnx"]
    assert read_sealed(path / "spec.json") == {"seed": 1}
    folder.verify(17)


def test_a_failed_trial_leaves_its_traceback_in_error_txt_only(folder):
    record = make_record(2, "failed", error="diverged", traceback="Traceback: line 5")
    folder.write_trial(record, {}, {})
    text = (folder.trial_path(2) / "error.txt").read_text()
    assert text == "diverged\n\nTraceback: line 5\n"
    assert "line 5" not in (folder.trial_path(2) / "result.json").read_text()
    assert folder.record(2).error == "diverged"


def test_a_non_finite_objective_is_recorded_as_a_failure(folder):
    objectives = {"accuracy": float("nan"), "size_bytes": 5}
    folder.write_trial(make_record(0, objectives=objectives), {}, {})
    record = folder.record(0)
    assert record.status == "failed"
    assert record.error.startswith("non-finite: accuracy")
    assert (folder.trial_path(0) / "error.txt").exists()


def test_a_finished_trial_is_never_overwritten(folder):
    assert folder.write_trial(make_record(1, pipeline="first"), {}, FILES)
    assert not folder.write_trial(make_record(1, pipeline="second"), {}, {})
    assert folder.record(1).pipeline == "first"
    folder.verify(1)


def test_something_else_in_a_trials_place_is_neither_overwritten_nor_taken_for_one(folder):
    path = folder.path / "trials" / "0001"
    path.mkdir(parents=True)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="has no result.json"):
        folder.write_trial(make_record(1), {}, {})
    assert os.listdir(path) == ["notes.txt"]
    with pytest.raises(RunError, match="trials/0001/result.json"):
        folder.records()


def test_records_are_sorted_and_half_written_folders_ignored_and_swept(folder):
    for number in (10, 2, 12345):
        folder.write_trial(make_record(number), {}, {})
    dead = 10**9
    leftover = folder.path / "trials" / f"0003.tmp-{dead}"
    leftover.mkdir()
    (leftover / "model.onnx").write_bytes(b"part")
    (folder.path / "trials" / "3").mkdir()
    (folder.path / f"run.json.tmp-{dead}").write_bytes(b"part")
    half = folder.checkpoints().path / f"{'a' * 64}.tmp-{dead}"
    half.mkdir(parents=True)
    (folder.path / f"summary.png.tmp-{os.getppid()}").write_bytes(b"being drawn")
    (folder.path / "baseline.tmp-1").mkdir()  # its number is another process's by now
    assert [record.number for record in folder.records()] == [2, 10, 12345]
    ours = [folder.path / "baseline.tmp-1", folder.path / f"run.json.tmp-{dead}"]
    assert folder.sweep() == [*ours, half, leftover]
    assert folder.sweep() == []
    assert [record.number for record in folder.records()] == [2, 10, 12345]


def test_a_trial_that_is_not_there_is_refused_with_the_numbers_that_are(folder):
    with pytest.raises(UserError, match="trial 0 does not exist .no trial has finished"):
        folder.record(0)
    for number in range(3):
        folder.write_trial(make_record(number), {}, {})
    with pytest.raises(UserError, match=r"trial 99 does not exist \(0-2\)"):
        folder.record(99)
    assert folder.record(np.int64(1)).number == 1


@pytest.mark.parametrize("number", ["../../etc", "0", -1, 1.0, True, None])
def test_a_trial_number_that_is_no_number_is_refused(folder, number):
    with pytest.raises(UserError, match="a trial is a whole number from 0"):
        folder.record(number)


def test_a_trial_folder_that_links_out_of_the_run_is_refused(folder, tmp_path):
    folder.write_trial(make_record(0), {}, {})
    outside = tmp_path / "outside"
    folder.trial_path(0).rename(outside)
    (folder.path / "trials" / "0000").symlink_to(outside)
    with pytest.raises(RunError, match="path leaves the run folder"):
        folder.record(0)


def test_one_flipped_bit_is_found_and_names_the_file_and_the_way_out(folder):
    folder.write_trial(make_record(4), {}, FILES)
    path = folder.trial_path(4) / "model.onnx"
    data = bytearray(path.read_bytes())
    data[17] ^= 1
    path.write_bytes(data)
    for check in (
        lambda: folder.verify(4),
        lambda: folder.read_artifact(folder.record(4), "model.onnx"),
    ):
        with pytest.raises(RunError, match="model.onnx: SHA-256 mismatch for trial 4") as caught:
            check()
        assert f"slimtune search --resume {folder.path}" in str(caught.value)


def test_a_linked_or_missing_artifact_is_refused(folder, tmp_path):
    folder.write_trial(make_record(4), {}, FILES)
    path = folder.trial_path(4) / "model.onnx"
    path.rename(tmp_path / "same content")
    with pytest.raises(RunError, match="model.onnx: No such file"):
        folder.verify(4)
    path.symlink_to(tmp_path / "same content")
    with pytest.raises(RunError, match="symbolic link"):
        folder.verify(4)


def test_a_flipped_digit_in_any_of_its_files_is_damage(folder):
    folder.write_trial(make_record(4), {"seed": 17}, FILES)
    folder.write_baseline({"objectives": {"accuracy": 0.9}}, {})
    result, baseline = folder.trial_path(4) / "result.json", folder.path / "baseline/result.json"
    for path, read in (
        (result, lambda: folder.record(4)),
        (baseline, folder.baseline),
        (folder.path / "run.json", lambda: RunFolder.open(folder.path)),
    ):
        sound = path.read_text()
        start = sound.index("0.")
        path.write_text(f"{sound[:start]}0.123{sound[start + 2 :]}")
        with pytest.raises(RunError, match=f"{path}: damaged.*SHA-256 mismatch"):
            read()
        path.write_text(sound)
        read()


def test_a_record_that_names_a_file_outside_the_run_is_refused(folder, tmp_path):
    folder.write_trial(make_record(4), {}, FILES)
    (tmp_path / "secret").write_text("x")
    path = folder.trial_path(4) / "result.json"
    record = json.loads(path.read_text())
    record["artifacts"] = {"../../../../secret": "0" * 64}
    path.write_bytes(seal(record))
    with pytest.raises(RunError, match="path leaves the run folder"):
        folder.verify(4)
    record["number"] = 5
    path.write_bytes(seal(record))
    with pytest.raises(RunError, match="is the record of trial 5, not of 4"):
        folder.records()


@pytest.mark.parametrize("name", ["result.json", "spec.json", "error.txt", "../x", "a/b"])
def test_a_file_name_that_is_taken_or_not_plain_is_refused(folder, name):
    with pytest.raises(RunError):
        folder.write_trial(make_record(0), {}, {name: b""})
    assert folder.records() == []


def test_the_baseline_is_written_once_and_read_back(folder):
    with pytest.raises(RunError, match="baseline/result.json: No such file"):
        folder.baseline()
    record = {"objectives": {"accuracy": 0.9, "size_bytes": 5}, "metrics": {"params": 1}}
    assert folder.write_baseline(record, {"model.onnx": b"x"})
    assert not folder.write_baseline({"objectives": {}}, {})
    assert record.items() <= folder.baseline().items()
    assert folder.baseline()["artifacts"].keys() == {"model.onnx"}


@pytest.mark.parametrize("record", [{}, {"objectives": [1]}, {"objectives": {"accuracy": "x"}}])
def test_a_baseline_without_objectives_is_refused(folder, record):
    with pytest.raises(RunError, match="objectives must map names to numbers"):
        folder.write_baseline(record, {})


def write_until_killed(path):
    """Fork a child that writes trials for ever; return its process id after the first."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            folder = RunFolder.open(path)
            number = len(folder.numbers())
            while True:
                folder.write_trial(
                    make_record(number), {}, {f"{i}": b"x" * 20_000 for i in range(4)}
                )
                os.write(writing, b"!")
                number += 1
        finally:
            os._exit(1)  # never back into pytest
    os.close(writing)
    started = os.read(reading, 1)
    os.close(reading)
    assert started == b"!"
    return pid


def test_whatever_moment_the_writer_is_killed_every_trial_is_whole(folder):
    leftovers = attempt = 0
    while attempt < 5 or leftovers == 0:  # until at least one kill hit the middle of a trial
        attempt += 1
        pid = write_until_killed(folder.path)
        time.sleep(0.0037 * attempt)
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        again = RunFolder.open(folder.path)
        numbers = [record.number for record in again.records()]
        assert numbers == list(range(len(numbers)))
        for number in numbers:
            again.verify(number)
            assert len(os.listdir(again.trial_path(number))) == 6
        leftovers += len(again.sweep())
    assert len(folder.numbers()) >= attempt


def test_a_run_begins_with_its_networks_and_ends_with_run_json(tmp_path):
    baseline = ({"objectives": {"accuracy": 0.9, "size_bytes": 5}}, {"model.onnx": b"x"})
    folder = RunFolder.begin(tmp_path, MANIFEST, {"baseline": baseline, "teacher": baseline})
    again = RunFolder.open(tmp_path)
    assert again.manifest == folder.manifest
    assert again.baseline()["objectives"] == baseline[0]["objectives"]
    assert sorted(os.listdir(tmp_path)) == ["baseline", "run.json", "teacher"]


def test_a_network_that_cannot_be_written_leaves_no_run_json(tmp_path):
    with pytest.raises(RunError):
        RunFolder.begin(tmp_path, MANIFEST, {"baseline": ({}, {})})
    assert os.listdir(tmp_path) == []


def test_another_config_is_written_down_and_the_rest_of_run_json_stays(folder):
    assert folder.with_config({}) is folder
    changed = folder.with_config({"trials": 9})
    assert RunFolder.open(folder.path).manifest == changed.manifest
    assert changed.manifest == {**folder.manifest, "config": {"trials": 9}}


def test_a_run_that_exists_is_refused_with_the_way_to_go_on(folder):
    with pytest.raises(UserError, match="already exists: continue it with --resume, choose"):
        RunFolder.create(folder.path, MANIFEST)
    with RunLock(folder.path), pytest.raises(RunError, match="is in use by process"):
        RunFolder.create(folder.path, MANIFEST)


def test_a_file_finds_the_run_it_lies_in(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    inside = tmp_path / "trials" / "0001" / "model.onnx"
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert find_run(inside) == tmp_path.resolve() and find_run(Path("/")) is None
