import shutil
from pathlib import Path

import pytest

from slimtune.conditions import Conditions
from slimtune.results.run import open_run
from slimtune.results.store.finals import FinalKey
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import read_joint
from slimtune.results.store.record import TrialRecord
from slimtune.search.finals import joint_measurement
from slimtune.search.finals.joint_measurement import (
    measure_front,
    median_final,
    members_by_joint_latency,
)
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import reopen_workload


def finals_of(*scores: float) -> dict[FinalKey, TrialRecord]:
    return {
        FinalKey(4, 30, repeat): TrialRecord(
            number=4,
            status="complete",
            recipe={},
            pipeline="p",
            conditions=Conditions(seed=repeat),
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
    assert median_final(list(finals), finals).repeat == repeat


def test_a_trial_whose_file_was_deleted_keeps_its_numbers_and_costs_nobody_theirs(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_measurement, "FRONT_LATENCY_SECONDS", 0.05)
    shutil.copytree(digits_run, tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    workload = reopen_workload(folder, run_config(folder))
    before = {row.trial: row for row in read_joint(folder.path)}
    gone, *others = [record.number for record in open_run(folder.path).candidates()]
    (folder.trial_path(gone) / "model.onnx").unlink()
    warnings: list[str] = []
    measure_front(folder, workload, warnings.append)
    assert len(warnings) == 1 and f"trial {gone}: its model.onnx is gone" in warnings[0]
    assert f"slimtune rerun {folder.path} --trial {gone}" in warnings[0]
    after = {row.trial: row for row in read_joint(folder.path)}
    contenders = {record.number for record in open_run(folder.path).contenders()}
    assert {None, gone, *others} <= after.keys() <= {None, *contenders}
    tested = {n: row.test_accuracy for n, row in after.items() if row.test_accuracy is not None}
    assert {None, gone, *others} <= tested.keys()
    assert tested == {n: before[n].test_accuracy for n in tested}
    assert [n for n, row in after.items() if row.latency_ms is None] == [gone]
    front = open_run(folder.path).front()
    recorded = [folder.record(int(n)).objectives["latency_ms"] for n in front["trial"]]
    assert gone in set(front["trial"]) and front["latency_ms"].tolist() == recorded
    assert gone in members_by_joint_latency(folder, workload)


def test_single_classes_are_counted_on_the_test_images_of_every_member(digits_run: Path) -> None:
    rows = [row for row in read_joint(digits_run) if row.test_accuracy is not None]
    assert len(rows) > 1 and rows[0].trial is None
    for row in rows:
        assert row.test_classes is not None and len(row.test_classes.right) == 10
        right, images = (sum(each[i] for each in row.test_classes.right) for i in (1, 2))
        assert right / images == pytest.approx(row.test_accuracy) and images == 539
