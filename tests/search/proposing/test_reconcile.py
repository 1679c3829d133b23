import random
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from slimtune.conditions import Conditions
from slimtune.errors import RunError
from slimtune.results.pareto.limits import violations
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.proposing import study
from slimtune.search.proposing.plan import ProposalPlan
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.reconcile import open_proposer, set_damaged_study_aside
from slimtune.search.proposing.samplers import FLAT
from slimtune.search.proposing.study import open_study
from slimtune.search.trial.spec import Outcome

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

        def opened():
            study = open_study(self.folder.study_path, ["maximize", "minimize"], "s")
            return study, self.proposer_of(study, trials, sampler, options)

        made, self.again = open_proposer(self.folder, opened, self.warnings.append)
        self.study, self.proposer = made

    def proposer_of(self, study, trials, sampler, options):
        options = dict(options)
        draw = suggest_all if sampler in FLAT else suggest
        conditions = Conditions(seed=1, device=options.pop("device", "cpu"))
        return Proposer(
            study,
            ProposalPlan(draw, trials, key=str, sampler=sampler, **options),
            objectives=OBJECTIVES,
            conditions=conditions,
        )

    def write(self, spec):
        amount = spec.recipe["prune"]["amount"]
        status = "failed" if spec.number == 3 else "complete"
        objectives = {"accuracy": 1 - amount**2, "size_bytes": 1000 * (1 - amount)}
        record = TrialRecord(
            number=spec.number,
            status=status,
            recipe=spec.recipe,
            pipeline="p",
            conditions=spec.conditions,
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
    assert running.conditions.device == "cuda:0"
    again = Search(tmp_path / "run", device="cpu")
    assert again.proposer.ask() == running.moved("cpu")


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
    again = Search(tmp_path / "run", why_stop=lambda _history: "no time is left")
    assert [spec.number for spec in again.run()] == [2]
    assert [record.number for record in again.folder.records()] == list(range(6))
    assert again.study.user_attrs["stopped"] == "no time is left"


def test_why_a_run_was_stopped_does_not_keep_it_from_going_on(tmp_path):
    search = Search(
        tmp_path / "run", why_stop=lambda history: "enough" if len(history) > 2 else ""
    )
    assert len(search.run()) == 3
    again = Search(tmp_path / "run")
    assert [spec.number for spec in again.run()] == [3, 4, 5, 6, 7]
    assert again.proposer.stopped == again.study.user_attrs["stopped"] == ""


CELLS = [
    "UPDATE trial_values SET value = value + 1 WHERE trial_id = 3",
    "UPDATE trials SET state = 'FAIL' WHERE number = 2",
    "UPDATE trials SET state = 'FAIR' WHERE number = 2",
    "UPDATE trial_params SET param_value = 5 WHERE param_name = 'prune.method'",
    "UPDATE trial_params SET param_value = 0.79 WHERE param_name = 'prune.amount'",
    "UPDATE trial_params SET distribution_json = '{' WHERE trial_id = 2",
    "UPDATE trial_user_attributes SET value_json = '{\"number\": 2}' WHERE key = 'spec'",
    "UPDATE trial_user_attributes SET key = 'speb' WHERE key = 'spec' AND trial_id = 4",
    "UPDATE trial_user_attributes SET value_json = CAST(x'ff' AS TEXT) WHERE trial_id = 2",
    "UPDATE study_directions SET direction = 'MINIMIZE'",
    "UPDATE alembic_version SET version_num = 'v9.9.9.z'",
    "DROP TABLE trial_params",
    "ALTER TABLE trials RENAME COLUMN state TO stale",
]


@pytest.mark.parametrize("statement", CELLS)
def test_a_study_in_which_one_cell_is_damaged_is_made_again(tmp_path, statement):
    search = Search(tmp_path / "run")
    search.run(5)
    before, path = history(search), search.folder.study_path
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    again = Search(tmp_path / "run")
    assert history(again) == before
    assert (tmp_path / "run" / "study.db.damaged-1").is_file()
    [warning] = again.warnings
    assert "kept as study.db.damaged-1, rebuilt from the trials" in warning
    assert "\n" not in warning
    assert [spec.number for spec in again.run()] == [5, 6, 7]


@pytest.mark.parametrize("finish", [False, True])
def test_a_trial_that_another_client_asked_for_is_no_trial_of_ours(tmp_path, finish):
    search = Search(tmp_path / "run")
    search.run(3)
    before = history(search)
    other = open_study(search.folder.study_path, ["maximize", "minimize"], "s")
    trial = other.ask()
    if finish:
        other.tell(trial, [0.9, 1.0])
    again = Search(tmp_path / "run")
    assert history(again) == before
    assert "has no spec, so another program made it" in again.warnings[0]
    assert [spec.number for spec in again.run()] == [3, 4, 5, 6, 7]


def test_random_flips_of_a_bit_change_no_trial(tmp_path):
    """What is not noticed lies where nothing is: the study that is read is the one before."""
    search = Search(tmp_path / "run")
    search.run(4)
    before, path = history(search), search.folder.study_path
    sound, chance = path.read_bytes(), random.Random(5)
    used = [at for at, byte in enumerate(sound) if byte]
    for _ in range(6):
        damaged = bytearray(sound)
        damaged[chance.choice(used)] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        assert history(Search(tmp_path / "run")) == before


def test_a_trial_that_failed_for_want_of_disk_runs_again_and_counts(tmp_path):
    search = Search(tmp_path / "run")
    specs = search.run(2)
    spec = search.proposer.ask()
    error = "OSError: [Errno 28] No space left on device"
    record = TrialRecord(
        number=2,
        status="failed",
        recipe=spec.recipe,
        pipeline="p",
        conditions=spec.conditions,
        error=error,
    )
    search.folder.write_trial(record, spec.to_dict(), {"log.txt": b"x"})
    search.proposer.tell(Outcome(2, "failed", reason=error))
    again = Search(tmp_path / "run")
    assert again.again == 1
    assert again.run()[0] == spec
    assert [t.state for t in again.study.trials[:3]] == [TrialState.COMPLETE] * 3
    assert (tmp_path / "run" / "trials" / "0002.failed-1" / "error.txt").is_file()
    assert [t.user_attrs["spec"] for t in again.study.trials[:2]] == [s.to_dict() for s in specs]
    assert Search(tmp_path / "run").warnings == []


def test_a_spec_that_is_damaged_as_well_is_read_from_the_record(tmp_path, whole):
    search, _ = whole
    before = history(search)
    search.folder.study_path.unlink()
    (search.folder.trial_path(2) / "spec.json").write_text("{")
    assert history(Search(search.folder.path)) == before


def test_a_study_that_is_locked_is_not_called_damaged(tmp_path, monkeypatch):
    search = Search(tmp_path / "run")
    search.run(2)
    monkeypatch.setattr(study, "TIMEOUT", 0.1)
    with closing(sqlite3.connect(search.folder.study_path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunError, match="locked"):
            Search(tmp_path / "run")
    assert not (tmp_path / "run" / "study.db.damaged-1").exists()
