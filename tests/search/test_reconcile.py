import sqlite3

import pytest
from optuna.trial import TrialState

from slimtune.errors import RunError
from slimtune.results.folder import RunFolder
from slimtune.results.record import TrialRecord
from slimtune.search.proposer import Proposer, open_study
from slimtune.search.reconcile import reconcile, set_damaged_study_aside
from slimtune.search.spec import Outcome

OBJECTIVES = ["accuracy", "size_bytes"]
MANIFEST = {
    "config": {},
    "objectives": OBJECTIVES,
    "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
    "workload": {"fingerprint": "0" * 64},
}


def suggest(trial):
    method = trial.suggest_categorical("prune.method", ["none", "l1", "fpgm"])
    amount = trial.suggest_float("prune.amount", 0.1, 0.8) if method != "none" else 0.0
    return {"prune": {"method": method, "amount": amount}}


class Search:
    """A search of trials that cost nothing, in files as a real one."""

    def __init__(self, path, trials=8):
        exists = (path / "run.json").exists()
        self.folder = RunFolder.open(path) if exists else RunFolder.create(path, MANIFEST)
        self.warnings = []
        set_damaged_study_aside(self.folder.study_path, self.warnings.append)
        self.study = open_study(self.folder.study_path, ["maximize", "minimize"], "s")
        self.proposer = Proposer(
            self.study, suggest, objectives=OBJECTIVES, trials=trials, seed=1, key=str
        )
        self.again = reconcile(self.folder, self.study, self.proposer, self.warnings.append)

    def write(self, spec):
        amount = spec.recipe["prune"]["amount"]
        status = "failed" if spec.number == 3 else "complete"
        objectives = {"accuracy": 1 - amount**2, "size_bytes": 1000 * (1 - amount)}
        record = TrialRecord(
            number=spec.number,
            status=status,
            recipe=spec.recipe,
            pipeline="p",
            seed=spec.seed,
            objectives=objectives if status == "complete" else {},
            error="diverged" if status == "failed" else None,
        )
        self.folder.write_trial(record, spec.to_dict(), {"model.onnx": b"x" * spec.number})
        return Outcome(spec.number, status, record.objectives, reason=record.error or "")

    def run(self, most=99):
        ran = []
        while len(ran) < most and (spec := self.proposer.ask()) is not None:
            ran.append(spec)
            self.proposer.tell(self.write(spec))
        return ran


@pytest.fixture
def whole(tmp_path):
    """A search of 8 trials that was never stopped."""
    search = Search(tmp_path / "whole")
    return search, search.run()


def history(search):
    return [(t.number, t.state, t.values, t.params, t.user_attrs) for t in search.study.trials]


def test_a_trial_that_was_written_but_not_told_is_told_and_not_run_again(tmp_path, whole):
    search = Search(tmp_path / "run")
    for _ in range(4):
        search.write(search.proposer.ask())  # killed before `tell`, four times
    again = Search(tmp_path / "run")
    assert again.again == 0
    assert [spec.number for spec in again.run()] == [4, 5, 6, 7]
    assert [t.state for t in again.study.trials[:4]] == [TrialState.COMPLETE] * 3 + [
        TrialState.FAIL
    ]
    assert again.study.trials[3].user_attrs["reason"] == "diverged"
    assert {t.state for t in again.study.trials} == {TrialState.COMPLETE, TrialState.FAIL}


def test_a_trial_that_was_running_runs_again_as_it_was(tmp_path):
    search = Search(tmp_path / "run")
    search.run(2)
    running = [search.proposer.ask(), search.proposer.ask()]
    again = Search(tmp_path / "run")
    assert again.again == 2
    assert again.run()[:2] == running
    assert [record.number for record in again.folder.records()] == list(range(8))


@pytest.mark.parametrize("fault", ["gone", "empty", "garbage", "torn", "other tables"])
def test_a_study_that_is_lost_is_made_again_from_the_trials(tmp_path, whole, fault):
    search, specs = whole
    before, path = history(search), search.folder.study_path
    if fault == "garbage":
        path.write_bytes(b"SQLite format 3\x00" + b"garbage" * 1000)
    elif fault == "torn":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif fault == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    if fault == "other tables":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE notes (text TEXT)")
    again = Search(search.folder.path)
    assert history(again) == before
    assert again.run() == []
    if fault in ("garbage", "torn"):
        aside = search.folder.path / "study.db.damaged-1"
        assert aside.is_file()
        assert len(again.warnings) == 1 and "kept as study.db.damaged-1" in again.warnings[0]


def test_a_rebuilt_study_goes_on_as_the_lost_one_would_have(tmp_path, whole):
    _, specs = whole
    search = Search(tmp_path / "run")
    search.run(5)
    search.folder.study_path.unlink()
    assert Search(tmp_path / "run").run() == specs[5:]


def test_a_number_that_was_running_when_the_study_was_lost_gets_a_trial_again(tmp_path):
    search = Search(tmp_path / "run")
    search.run(2)
    search.proposer.ask()
    search.run(3)
    search.folder.study_path.unlink()
    again = Search(tmp_path / "run")
    assert again.again == 1
    assert [spec.number for spec in again.run()] == [2, 6, 7]
    assert [record.number for record in again.folder.records()] == list(range(8))
    assert len({t.user_attrs["key"] for t in again.study.trials}) == 8


@pytest.mark.parametrize("content", [b"", b'{"number": 2,\n "sta', b"[]", None])
def test_a_trial_with_a_damaged_record_is_set_aside_and_made_again(tmp_path, content):
    search = Search(tmp_path / "run")
    specs = search.run(4)
    file = search.folder.trial_path(2) / "result.json"
    file.unlink() if content is None else file.write_bytes(content)
    again = Search(tmp_path / "run")
    assert again.again == 1
    assert "trial 2 runs again" in again.warnings[0]
    assert again.run()[0] == specs[2]
    assert (search.folder.path / "trials" / "0002.damaged-1" / "model.onnx").is_file()
    again.folder.verify(2)
    assert [record.number for record in again.folder.records()] == list(range(8))


def test_a_trial_folder_that_was_removed_is_made_again(tmp_path):
    search = Search(tmp_path / "run")
    specs = search.run(4)
    search.folder.trial_path(1).rename(tmp_path / "elsewhere")
    again = Search(tmp_path / "run")
    assert again.run()[0] == specs[1]
    assert [record.number for record in again.folder.records()] == list(range(8))


def test_a_study_that_cannot_be_read_now_is_refused_and_not_called_damaged(tmp_path):
    path = tmp_path / "study.db"
    path.mkdir()
    with pytest.raises(RunError, match="the study cannot be used"):
        set_damaged_study_aside(path, lambda text: None)
    assert path.is_dir()
