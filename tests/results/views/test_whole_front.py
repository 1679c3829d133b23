import json
import os

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import NothingMatchesError, RunError, UserError
from slimtune.results.run import Run, open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.whole_front import export_front

MANIFEST = {
    "config": {"data": "digits"},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 5000.0},
    "workload": {"fingerprint": "f", "classes": ["a", "b"], "image_shape": [3, 8, 8]},
}
POINTS = [(0.9, 4096), (0.85, 2048), (0.8, 3000)]  # the last is dominated


@pytest.fixture
def run(tmp_path) -> Run:
    folder = RunFolder.create(tmp_path / "run", MANIFEST)
    for number, (accuracy, size) in enumerate(POINTS):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={"prune": {"method": "none"}},
            pipeline="a <b> | c",
            conditions=Conditions(seed=0),
            objectives={"accuracy": accuracy, "size_bytes": size},
        )
        folder.write_trial(record, {}, {"model.onnx": b"model of %d" % number})
    return open_run(folder.path)


def test_every_member_gets_a_folder_and_two_indexes_name_them(run, tmp_path) -> None:
    out = export_front(run, run.front(), tmp_path / "all")
    assert sorted(os.listdir(out)) == ["README.md", "index.json", "trial-0000", "trial-0001"]
    assert (out / "trial-0001" / "model.onnx").read_bytes() == b"model of 1"
    index = json.loads((out / "index.json").read_text())
    assert [m["folder"] for m in index["members"]] == ["trial-0000", "trial-0001"]
    assert [m["size_bytes"] for m in index["members"]] == [4096, 2048]
    text = (out / "README.md").read_text()
    assert "[trial-0001](trial-0001/README.md)" in text and text.count("◆") == 2
    assert "a &lt;b&gt; ¦ c" in text
    for member in ("trial-0000", "trial-0001"):
        assert {"README.md", "predict.py", "SHA256SUMS"} <= set(os.listdir(out / member))


def test_the_indexes_name_a_students_file_without_its_folder(tmp_path) -> None:
    folder = RunFolder.create(tmp_path / "run", MANIFEST)
    net = "/home/bob/net.py:make"
    record = TrialRecord(
        number=0,
        status="complete",
        recipe={"student": {"model": net}},
        pipeline=f"{net} → l1 50%",
        conditions=Conditions(seed=0),
        objectives={"accuracy": 0.9, "size_bytes": 100},
    )
    folder.write_trial(record, {}, {"model.onnx": b"model"})
    run = open_run(folder.path)
    out = export_front(run, run.front(), tmp_path / "all")
    assert "| net.py:make → l1 50% |" in (out / "README.md").read_text()
    index = json.loads((out / "index.json").read_text())
    assert index["members"][0]["pipeline"] == "net.py:make → l1 50%"


def test_some_rows_of_the_front_may_be_left_out(run, tmp_path) -> None:
    front = run.front()
    out = export_front(run, front[front["size_bytes"] < 3000], tmp_path / "all", ["onnx"])
    assert sorted(os.listdir(out)) == ["README.md", "index.json", "trial-0001"]


def test_a_damaged_member_leaves_nothing(run, tmp_path) -> None:
    (run.path / "trials" / "0001" / "model.onnx").write_bytes(b"other")
    with pytest.raises(RunError, match="SHA-256 mismatch for trial 1"):
        export_front(run, run.front(), tmp_path / "all")
    assert sorted(os.listdir(tmp_path)) == ["run"]


def test_no_member_and_no_room_are_refused(run, tmp_path) -> None:
    with pytest.raises(NothingMatchesError, match="no member to export"):
        export_front(run, run.front().iloc[:0], tmp_path / "all")
    with pytest.raises(UserError, match="not an empty folder"):
        export_front(run, run.front(), run.path)
