import sqlite3
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from slimtune.errors import RunError
from slimtune.results.folder import RunFolder
from slimtune.results.limits import violations
from slimtune.results.record import TrialRecord
from slimtune.search.proposer import Proposer
from slimtune.search.reconcile import reconcile, set_damaged_study_aside
from slimtune.search.samplers import FLAT
from slimtune.search.spec import Outcome
from slimtune.search.study import open_study

OBJECTIVES = ["accuracy", "size_bytes"]
MANIFEST = {
    "config": {},
    "objectives": OBJECTIVES,
    "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
    "workload": {"fingerprint": "0" * 64},
}


LIMITED = {**MANIFEST, "limits": {"size_bytes": 500.0, "macs": 40.0}}


def suggest(trial):
    method = trial.suggest_categorical("prune.method", ["none", "l1", "fpgm"])
    amount = trial.suggest_float("prune.amount", 0.1, 0.8) if method != "none" else 0.0
    return {"prune": {"method": method, "amount": amount}}


def suggest_all(trial):
    trial.suggest_float("prune.amount", 0.1, 0.8)
    return suggest(trial)


class Search:
    """A search of trials that cost nothing, in files as a real one."""

    def __init__(self, path, trials=8, manifest=MANIFEST, sampler="tpe", **options):
        exists = (path / "run.json").exists()
        self.folder = RunFolder.open(path) if exists else RunFolder.create(path, manifest)
        self.limits = self.folder.manifest.get("limits", {})
        self.warnings = []
        set_damaged_study_aside(self.folder.study_path, self.warnings.append)
        self.study = open_study(self.folder.study_path, ["maximize", "minimize"], "s")
        self.proposer = Proposer(
            self.study,
            suggest_all if sampler in FLAT else suggest,
            objectives=OBJECTIVES,
            trials=trials,
            seed=1,
            key=str,
            sampler=sampler,
            **options,
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
            metrics={"macs": 100 * (1 - amount)} if status == "complete" else {},
            error="diverged" if status == "failed" else None,
        )
        self.folder.write_trial(record, spec.to_dict(), {"model.onnx": b"x" * spec.number})
        return Outcome(spec.number, status, record.objectives, reason=record.error or "")

    def run(self, most=99):
        ran = []
        while len(ran) < most and (spec := self.proposer.ask()) is not None:
            ran.append(spec)
            outcome = self.write(spec)
            metrics = self.folder.record(spec.number).metrics
            measured = {**metrics, **outcome.objectives}
            self.proposer.tell(outcome, violations(self.limits, measured))
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


def test_a_trial_that_runs_again_does_so_on_the_device_that_there_is_now(tmp_path):
    search = Search(tmp_path / "run", device="cuda:0")
    search.run(2)
    running = search.proposer.ask()
    assert running.device == "cuda:0"
    again = Search(tmp_path / "run", device="cpu")
    assert again.proposer.ask() == replace(running, device="cpu")


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


def everything(search):
    return [
        (*each, trial.system_attrs)
        for each, trial in zip(history(search), search.study.trials, strict=True)
    ]


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "nsga3", "qmc"])
def test_a_lost_study_is_made_again_with_limits_and_generations(tmp_path, sampler):
    options = {"trials": 24, "manifest": LIMITED, "sampler": sampler}
    options["start"] = [{"prune.method": "l1", "prune.amount": 0.5}]
    whole = Search(tmp_path / "whole", **options)
    specs = whole.run()
    search = Search(tmp_path / "run", **options)
    assert search.run(22) == specs[:22]
    before = everything(search)
    assert {"constraints:size_bytes", "constraints:macs"} <= search.study.trials[
        0
    ].system_attrs.keys()
    search.folder.study_path.unlink()
    again = Search(tmp_path / "run", **options)
    assert everything(again) == before
    assert again.run() == specs[22:]


@pytest.mark.parametrize("sampler", FLAT)
def test_a_recipe_that_the_sampler_does_not_draw_again_still_has_every_dimension(
    tmp_path, sampler
):
    search = Search(tmp_path / "run", sampler=sampler)
    asked = [search.proposer.ask() for _ in range(6)]  # side by side
    for spec in reversed(asked):
        recipe = {"prune": {"method": "none", "amount": 0.0}} if spec.number == 4 else spec.recipe
        search.write(replace(spec, recipe=recipe))
    search.folder.study_path.unlink()
    again = Search(tmp_path / "run", sampler=sampler)
    assert again.study.trials[4].params["prune.method"] == "none"
    assert {frozenset(trial.params) for trial in again.study.trials} == {
        frozenset({"prune.method", "prune.amount"})
    }
    assert [spec.number for spec in again.run()] == [6, 7]


def test_a_gap_is_filled_although_a_budget_would_begin_no_trial(tmp_path):
    search = Search(tmp_path / "run")
    search.run(2)
    search.proposer.ask()
    search.run(3)
    search.folder.study_path.unlink()
    again = Search(tmp_path / "run", enough=lambda _history: "no time is left")
    assert [spec.number for spec in again.run()] == [2]
    assert [record.number for record in again.folder.records()] == list(range(6))
    assert again.study.user_attrs["stopped"] == "no time is left"


def test_why_a_run_was_stopped_does_not_keep_it_from_going_on(tmp_path):
    search = Search(tmp_path / "run", enough=lambda history: "enough" if len(history) > 2 else "")
    assert len(search.run()) == 3
    again = Search(tmp_path / "run")
    assert [spec.number for spec in again.run()] == [3, 4, 5, 6, 7]
    assert again.proposer.stopped == again.study.user_attrs["stopped"] == ""
