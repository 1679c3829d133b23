import shutil
from pathlib import Path
from typing import Any

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import RunError, SlimtuneWarning
from slimtune.results.run import open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import read_joint
from slimtune.results.store.record import TrialRecord
from slimtune.search.resuming.aside import check_other_files, for_want_of_disk, sound_trials
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.spec import TrialSpec


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(digits_run, tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(bytes(data))


def resumed(config: SearchConfig, run: RunFolder) -> tuple[list[tuple[str, Any]], str]:
    events: list[tuple[str, Any]] = []
    run_search(config, run.path, lambda e: events.append((e.kind, e.values())), resume=True)
    return events, "\n".join(v["text"] for n, v in events if n == "warning")


def test_a_members_swapped_file_is_set_aside_and_made_again(
    run: RunFolder, digits_config: SearchConfig
) -> None:
    """As it was before: the same bytes, the same test accuracy."""
    before = {row.trial: row.test_accuracy for row in read_joint(run.path)}
    [member, *_] = (record.number for record in open_run(run.path).candidates())
    good = (run.trial_path(member) / "model.onnx").read_bytes()
    shutil.copy(run.path / "baseline" / "model.onnx", run.trial_path(member) / "model.onnx")
    events, warnings = resumed(digits_config, run)
    aside = run.path / "trials" / f"{member:04d}.damaged-1"
    assert f"kept as trials/{aside.name}, trial {member} runs again" in warnings
    assert (aside / "model.onnx").read_bytes() != good
    assert [v["number"] for n, v in events if n == "started"] == [member]
    assert (run.trial_path(member) / "model.onnx").read_bytes() == good
    assert {row.trial: row.test_accuracy for row in read_joint(run.path)} == before


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "model.json"])
def test_one_bit_of_the_baseline_ends_a_resume_with_the_way_out(
    run: RunFolder, digits_config: SearchConfig, name: str
) -> None:
    flip(run.path / "baseline" / name)
    more = digits_config.model_copy(update={"trials": 5})
    with pytest.raises(RunError, match=f"{name}: SHA-256 mismatch.*restore the file") as caught:
        run_search(more, run.path, resume=True)
    assert caught.value.exit_code == 5
    assert len(open_run(run.path).records) == 4


def test_only_what_is_measured_again_is_looked_at_and_a_deleted_file_is_nobodys_fault(
    run: RunFolder,
) -> None:
    candidates = {record.number for record in open_run(run.path).candidates()}
    others = set(run.numbers()) - candidates
    for number in others:
        (run.trial_path(number) / "model.onnx").write_bytes(b"of no use to the front")
    (run.trial_path(min(candidates)) / "model.onnx").unlink()
    warnings: list[str] = []
    assert None not in sound_trials(run, warnings.append).records.values()
    assert warnings == []


def test_one_that_stands_in_when_a_member_is_set_aside_is_looked_at_as_well(
    tmp_path: Path,
) -> None:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "run", manifest)
    for number, accuracy in enumerate([0.9, 0.8, 0.7]):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={},
            pipeline="p",
            conditions=Conditions(seed=number),
            objectives={"accuracy": accuracy, "size_bytes": 100.0},
        )
        spec = TrialSpec(number, {}, Conditions(number)).to_dict()
        folder.write_trial(record, spec, {"model.onnx": b"x", "log.txt": b"y"})
        (folder.trial_path(number) / "log.txt").write_bytes(b"notes of a user")
    for number in (0, 1):
        flip(folder.trial_path(number) / "model.onnx")
    warnings: list[str] = []
    found = sound_trials(folder, warnings.append)
    assert [number for number, record in found.records.items() if record] == [2]
    assert sorted(found.specs) == [0, 1] and len(warnings) == 2


@pytest.mark.parametrize(
    ("error", "full"),
    [
        ("runs/a/trials/0003 cannot be written: disk full (No space left on device)", True),
        ("OSError: [Errno 28] No space left on device: '/tmp/x'", True),
        ("OSError: [Errno 122] Disk quota exceeded", True),
        ("OutOfDiskError: Local disk is full", True),
        ("non-finite: the loss is nan", False),
        (None, False),
    ],
)
def test_which_trials_failed_for_want_of_disk(error: str | None, full: bool) -> None:
    known = {
        "number": 3,
        "recipe": {},
        "pipeline": "p",
        "conditions": Conditions(0),
        "error": error,
    }
    assert for_want_of_disk(TrialRecord(status="failed", **known)) is full
    assert not for_want_of_disk(TrialRecord(status="complete", **known))


@pytest.mark.parametrize("what", ["torn", "value", "link", "folder", "front"])
def test_a_damaged_joint_measurement_is_shown_without_and_made_again(
    run: RunFolder, tmp_path: Path, what: str
) -> None:
    front = run.path / "front"
    file = front / "front.json"
    sound = file.read_bytes()
    if what in ("link", "folder"):
        file.unlink()
    if what == "torn":
        file.write_bytes(sound[:50])
    elif what == "value":
        file.write_bytes(sound.replace(b'"trial"', b'"trail"'))
    elif what == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif what == "folder":
        file.mkdir()
    else:
        shutil.rmtree(front)
        front.write_text("in the way")
    if what != "front":
        with pytest.warns(SlimtuneWarning, match="front.json"):
            assert len(open_run(run.path).front())
    warnings: list[str] = []
    check_other_files(run, warnings.append)
    assert len(warnings) == 1 and "damaged-1" in warnings[0] and "again" in warnings[0]
    assert read_joint(run.path) == []
    assert len(open_run(run.path).front())


def test_a_run_without_hashes_is_accepted_and_that_is_said_once(run: RunFolder) -> None:
    (run.path / "baseline" / "result.json").write_text("{}")
    warnings: list[str] = []
    check_other_files(run, warnings.append)
    assert warnings == [
        "this run has no recorded SHA-256 of its baseline: its files are taken as they are"
    ]
