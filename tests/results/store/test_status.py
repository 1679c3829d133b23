import pytest

from slimtune.errors import RunError
from slimtune.results.store.files import atomic_write
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.lock import RunLock
from slimtune.results.store.status import TrialStatus, read_status, write_status

MANIFEST = {
    "config": {},
    "objectives": ["accuracy", "size_bytes"],
    "reference_point": {"accuracy": 0.0, "size_bytes": 10.0},
    "workload": {"fingerprint": "f"},
}
AT_WORK = TrialStatus(3, "l1 50%", "fine-tune", 12.5)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", MANIFEST).path


def test_a_run_whose_writer_lives_is_running_and_says_at_what(run):
    write_status(run, total=9, running=[AT_WORK])
    with RunLock(run):
        status = read_status(run)
    assert (status.state, status.total, status.running) == ("running", 9, (AT_WORK,))
    assert status.holder.startswith("process ")


def test_a_run_whose_writer_died_is_interrupted_and_runs_nothing(run):
    write_status(run, total=9, running=[AT_WORK])
    status = read_status(run)
    assert (status.state, status.total, status.running) == ("interrupted", 9, ())


def test_a_run_that_came_to_its_end_is_finished(run):
    write_status(run, total=9, finished=True, reason="the time budget of 1m is spent")
    status = read_status(run)
    assert (status.state, status.reason) == ("finished", "the time budget of 1m is spent")


def test_a_run_of_before_there_was_a_status_is_finished_if_its_front_was_measured(run):
    assert read_status(run).state == "interrupted"
    write_joint(run, [JointRow(trial=None)])
    assert read_status(run).state == "finished"


@pytest.mark.parametrize("content", ["{", "[]", '{"running": 3}'])
def test_a_damaged_status_is_no_status(run, content):
    (run / "status.json").write_text(content)
    assert read_status(run).state == "interrupted"
    assert read_status(run).total is None


def test_a_search_that_has_no_baseline_yet_is_preparing(tmp_path):
    with pytest.raises(RunError, match="is not a slimtune run"):
        read_status(tmp_path)
    with RunLock(tmp_path):
        assert read_status(tmp_path).state == "preparing"


def test_a_disk_that_refuses_is_no_reason_to_stop(tmp_path):
    write_status(tmp_path / "no such folder", total=1)
    atomic_write(tmp_path / "in the way", "")
    write_status(tmp_path / "in the way", total=1)
