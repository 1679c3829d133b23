"""Members of the front at full length, run for real on digits."""

import dataclasses
import json
import re
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimtune.errors import SearchFailedError
from slimtune.results.run import Run, open_run
from slimtune.results.store.finals import FinalKey, folder_of, write_final_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import read_joint
from slimtune.results.store.sealed import read_sealed, seal
from slimtune.search.finals import joint_measurement
from slimtune.search.finals.finals import final_seed, front_members, plan, run_finals
from slimtune.search.listeners.events import Event as SearchEvent
from slimtune.search.listeners.events import FinalStarted
from slimtune.search.proposing.budget import Budget
from slimtune.search.proposing.study import open_study
from slimtune.search.review import evaluate
from slimtune.search.review.evaluate import evaluate_in_run
from slimtune.search.review.rerun import compare, rerun_trial
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.final import FinalSettings
from slimtune.search.setup import reopen_workload
from slimtune.search.trial import trial
from slimtune.search.trial.driver import Driver
from slimtune.search.trial.spec import Outcome
from slimtune.search.underway.interrupts import Interrupts
from slimtune.search.underway.open_search import OpenSearch

Event = tuple[str, Mapping[str, Any]]
SPACE = {
    "prune": {
        "method": ["l1"],
        "amount": {"low": 0.2, "high": 0.9, "step": 0.7},
        "scope": "local",
    },
    "quantize": {"method": "none"},
    "distill": {"method": "none"},
    "train": {"epochs": 1, "batch_size": 256, "lr": 0.01, "recalibrate": None},
}


@pytest.fixture(scope="module", autouse=True)
def short_latencies() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "LATENCY_SECONDS", 0.05)
        patch.setattr(evaluate, "LATENCY_SECONDS", 0.05)
        patch.setattr(joint_measurement, "FRONT_LATENCY_SECONDS", 0.05)
        yield


@pytest.fixture(scope="module")
def config(digits_config: SearchConfig) -> SearchConfig:
    # One accurate and one small trial, so that both are on the front.
    start = tuple({"prune": {"method": "l1", "amount": amount}} for amount in (0.2, 0.9))
    changes = {"space": SPACE, "trials": 2, "start": start, "sampler": "random"}
    objectives = ("accuracy", "size_bytes")
    return digits_config.model_copy(update={**changes, "objectives": objectives})


def longer(config: SearchConfig, epochs: int | None, repeats: int | None) -> SearchConfig:
    return config.model_copy(update={"final": FinalSettings(epochs=epochs, repeats=repeats)})


@pytest.fixture(scope="module")
def cheap(config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_search(config, tmp_path_factory.mktemp("runs") / "cheap")


@pytest.fixture(scope="module")
def repeated(
    cheap: Run, config: SearchConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, list[Event]]:
    """The cheap run gone on with: its front at twice the length, with two seeds."""
    out = tmp_path_factory.mktemp("runs") / "final"
    shutil.copytree(cheap.path, out)
    events: list[Event] = []
    wanted = longer(config, 2, 2)
    run = run_search(wanted, out, noting(events), resume=True)
    return run, events


def copied(run: Run, target: Path) -> RunFolder:
    shutil.copytree(run.path, target)
    return RunFolder.open(target)


def test_a_finished_run_takes_finals_each_at_full_length_with_a_seed_of_its_own(
    cheap: Run, repeated: tuple[Run, list[Event]]
) -> None:
    run, events = repeated
    members = cheap.front()["trial"].tolist()
    keys = [FinalKey(n, 2, r) for n in sorted(members) for r in (0, 1)]
    assert list(run.finals()) == keys and len(keys) >= 2
    for key, record in run.finals().items():
        before = run.folder.record(key.trial)
        assert (record.recipe["train"]["epochs"], before.recipe["train"]["epochs"]) == (2, 1)
        assert record.recipe["prune"] == before.recipe["prune"]
        assert record.conditions.seed == final_seed(0, key.trial, key.repeat)
        rows = (run.path / "finals" / key.name / "history.csv").read_text().splitlines()
        assert len(rows) == 3  # a header and two epochs
    seeds = [r.conditions.seed for r in [*run.records, *run.finals().values()]]
    assert len(set(seeds)) == len(seeds)
    assert [name for name, _ in events if name == "started"] == []
    told = dict(events)["finals"]
    assert (told["members"], told["repeats"], told["epochs"], told["cheap"]) == (
        len(members), 2, 2, 1,
    )  # fmt: skip
    assert dict(events)["final_finished"]["finished"] == len(keys) == told["total"]


def test_the_trials_and_the_study_are_as_they_were(
    cheap: Run, repeated: tuple[Run, list[Event]]
) -> None:
    run, _ = repeated
    assert run.records == cheap.records
    study = open_study(run.folder.study_path, ["maximize", "minimize"], "unused")
    assert [t.state.name for t in study.trials] == ["COMPLETE", "COMPLETE"]


def test_every_number_of_a_member_is_of_the_file_that_ships(
    repeated: tuple[Run, list[Event]], tmp_path: Path
) -> None:
    run, _ = repeated
    for row in run.front().to_dict("records"):
        exported = run.trial(row["trial"]).export(tmp_path / str(row["trial"]))
        file = exported / "model.onnx"
        assert file.read_bytes() == (run.path / "finals" / row["final"] / file.name).read_bytes()
        assert file.stat().st_size == row["size_bytes"]
        measured = evaluate_in_run(file, run.path)
        assert measured["validation_accuracy"] == row["accuracy"]
        assert measured["test_accuracy"] == row["test_accuracy"]
        metrics = json.loads((exported / "metrics.json").read_text())
        assert metrics["final"]["final"] == row["final"]


def test_mean_and_spread_are_those_of_all_finals(repeated: tuple[Run, list[Event]]) -> None:
    run, _ = repeated
    for row in run.front().to_dict("records"):
        keys = [key for key in run.finals() if key.trial == row["trial"]]
        scores = [run.finals()[key].objectives["accuracy"] for key in keys]
        tested = [
            evaluate_in_run(run.path / "finals" / key.name / "model.onnx", run.path)
            for key in keys
        ]
        on_test = [score["test_accuracy"] for score in tested]
        assert row["repeats"] == 2 and row["accuracy"] == min(scores)  # of two, the lower
        assert row["accuracy_mean"] == pytest.approx(statistics.mean(scores))
        assert row["accuracy_sd"] == pytest.approx(statistics.stdev(scores))
        assert row["test_accuracy_mean"] == pytest.approx(statistics.mean(on_test))
        assert row["test_accuracy_sd"] == pytest.approx(statistics.stdev(on_test))


def test_a_final_reruns_to_the_same_bytes(repeated: tuple[Run, list[Event]]) -> None:
    run, _ = repeated
    key = next(iter(run.finals()))
    outcome = rerun_trial(run.folder, key)
    assert all(c.identical for c in compare(run.folder, outcome, key))


def test_finals_that_were_interrupted_go_on_with_what_lacks(
    cheap: Run, repeated: tuple[Run, list[Event]], config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(cheap, tmp_path / "run")
    started: list[str] = []

    def stop(event: SearchEvent) -> None:
        if isinstance(event, FinalStarted):
            started.append(event.name)
            if len(started) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(longer(config, 2, 2), folder.path, stop, resume=True)
    assert len(open_run(folder.path).finals()) == 1
    shown = open_run(folder.path).front()
    assert "final" not in shown and shown["trial"].tolist() == cheap.front()["trial"].tolist()

    events: list[Event] = []
    run = run_search(
        longer(config, 2, 2),
        folder.path,
        noting(events),
        resume=True,
    )
    assert dict(events)["finals"]["finished"] == 1
    names = [v["name"] for n, v in events if n == "final_started"]
    assert started[0] not in names and started[1] == names[0]
    whole, _ = repeated
    assert {k: r.artifacts for k, r in run.finals().items()} == {
        k: r.artifacts for k, r in whole.finals().items()
    }
    assert run.front()["final"].tolist() == whole.front()["final"].tolist()


def test_another_length_is_kept_beside_the_first_and_a_damaged_final_runs_again(
    repeated: tuple[Run, list[Event]], config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(repeated[0], tmp_path / "run")
    before = open_run(folder.path).finals()
    events: list[Event] = []
    run = run_search(
        longer(config, 3, 1),
        folder.path,
        noting(events),
        resume=True,
    )
    assert before.items() <= run.finals().items()
    assert {FinalKey.parse(name).epochs for name in run.front()["final"]} == {3}
    assert (run.front()["repeats"] == 1).all() and run.front()["accuracy_sd"].isna().all()

    first = next(key for key in run.finals() if key.epochs == 3)
    (folder.path / "finals" / first.name / "result.json").write_text("{")
    events.clear()
    again = run_search(
        longer(config, 3, 1),
        folder.path,
        noting(events),
        resume=True,
    )
    assert [v["name"] for n, v in events if n == "final_started"] == [first.name]
    assert f"kept as finals/{first.name}.damaged-1" in dict(events)["warning"]["text"]
    assert again.finals()[first].artifacts == run.finals()[first].artifacts


def test_a_final_that_failed_for_want_of_disk_runs_again_and_the_others_stay(
    repeated: tuple[Run, list[Event]], config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(repeated[0], tmp_path / "run")
    before = open_run(folder.path).finals()
    no_room, diverged = sorted(before)[:2]
    for key, error in (
        (no_room, "OSError: [Errno 28] No space left on device"),
        (diverged, "NonFiniteError: the loss is nan"),
    ):
        spec = read_sealed(folder_of(folder, key) / "spec.json")
        shutil.rmtree(folder_of(folder, key))
        record = replace(before[key], status="failed", objectives={}, error=error)
        write_final_run(folder, key, record, spec=spec, files={})
    events: list[Event] = []
    run = run_search(
        longer(config, 2, 2),
        folder.path,
        noting(events),
        resume=True,
    )
    assert [v["name"] for n, v in events if n == "final_started"] == [no_room.name]
    (text,) = (v["text"] for n, v in events if n == "warning" and no_room.name in v["text"])
    assert "failed because the disk was full" in text and "No space left on device" in text
    assert f"kept as finals/{no_room.name}.failed-1, the final runs again" in text
    aside = folder.path / "finals" / f"{no_room.name}.failed-1"
    assert "No space left" in (aside / "error.txt").read_text()
    after = run.finals()
    assert after[no_room].artifacts == before[no_room].artifacts
    assert after[diverged].status == "failed"
    others = before.keys() - {no_room, diverged}
    assert all(after[key] == before[key] for key in others) and others


def test_trials_that_are_added_get_finals_too_and_those_that_are_there_stay(
    repeated: tuple[Run, list[Event]], config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(repeated[0], tmp_path / "run")
    before = open_run(folder.path)
    known, shown = before.finals(), before.front()
    more = longer(config, 2, 2).model_copy(update={"trials": 4})
    seen: list[list[Any]] = []

    def look(event: SearchEvent) -> None:
        if isinstance(event, FinalStarted):  # the old answer stands until there is a new one
            seen.append(open_run(folder.path).front()["final"].tolist())

    run = run_search(more, folder.path, look, resume=True)
    assert all(names == shown["final"].tolist() for names in seen)
    assert known.items() <= run.finals().items()
    members = {row.trial for row in read_joint(folder.path) if row.trial is not None}
    assert members <= {record.number for record in run.candidates()}
    assert {key.trial for key in run.finals()} >= members


def noting(events: list[Event]) -> Callable[[SearchEvent], None]:
    return lambda event: events.append((event.kind, event.values()))


@dataclasses.dataclass(frozen=True)
class Failing(OpenSearch):
    """A search whose executor fails the specs with some numbers, and runs nothing."""

    which: Callable[[int], bool] = lambda _: True

    def execute(self, work: Any, driver: Driver) -> None:
        while (spec := driver.ask()) is not None:
            driver.on_event(spec)
            assert re.fullmatch(r"final 000[01]-e2-r[01]", driver.name_of(spec.number))
            assert self.which(spec.number), "these tests run nothing"
            outcome = Outcome(spec.number, "failed", reason="diverged")
            driver.tell(outcome)
            driver.on_event(outcome)


def failing(
    config: SearchConfig, folder: RunFolder, listener: Any, which: Callable[[int], bool]
) -> Failing:
    workload = reopen_workload(folder, config)
    interrupts = Interrupts(lambda _: None)
    return Failing(config, folder, workload, listener, interrupts, Budget(), which)


def test_finals_that_all_fail_leave_the_front_as_it_was_and_say_why(
    cheap: Run, config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(cheap, tmp_path / "run")
    search = failing(longer(config, 2, 2), folder, lambda *_: None, lambda _: True)
    with pytest.raises(SearchFailedError, match="no final could be completed.* diverged"):
        run_finals(search)
    assert {r.status for r in open_run(folder.path).finals().values()} == {"failed"}
    error = next((folder.path / "finals").iterdir()) / "error.txt"
    assert "diverged" in error.read_text()
    assert open_run(folder.path).front().equals(cheap.front())


def test_a_member_whose_finals_all_failed_leaves_the_front_with_a_word(
    repeated: tuple[Run, list[Event]], config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(repeated[0], tmp_path / "run")
    members = front_members(folder, reopen_workload(folder, config))
    assert len(members) == 2
    for repeat in (0, 1):
        shutil.rmtree(folder.path / "finals" / FinalKey(members[0], 2, repeat).name)
    events: list[Event] = []
    both_seeds = (0, 2)  # of the first member
    run_finals(failing(longer(config, 2, 2), folder, noting(events), both_seeds.__contains__))
    text = dict(events)["warning"]["text"]
    assert text == f"trial {members[0]} leaves the front: at full length it failed with: diverged"
    assert open_run(folder.path).front()["trial"].tolist() == [members[1]]
    assert dict(events)["finals_measured"] == {"left": (members[0],)}
    rows = {row.trial: row.repeats for row in read_joint(folder.path)}
    assert rows == {None: None, members[0]: 0, members[1]: 2}


def test_who_is_run_again_is_decided_once(
    repeated: tuple[Run, list[Event]], config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(repeated[0], tmp_path / "run")
    workload = reopen_workload(folder, config)
    file = folder.path / "front" / "members.json"
    known = json.loads(file.read_text())
    assert front_members(folder, workload) == known["members"]
    file.write_bytes(seal({**known, "members": known["members"][:1]}))
    assert front_members(folder, workload) == known["members"][:1]
    for other in ("{", seal({**known, "candidates": [9]}).decode()):
        file.write_text(other)
        assert sorted(front_members(folder, workload)) == sorted(known["members"])


def test_finals_run_on_the_device_that_the_run_goes_on_with(
    cheap: Run, config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(cheap, tmp_path / "run")
    file = folder.trial_path(0) / "result.json"
    file.write_bytes(seal({**json.loads(file.read_text()), "device": "cuda:0"}))
    assert folder.record(0).conditions.device == "cuda:0"
    for gpus, device in ((0.0, "cpu"), (0.5, "cuda:0")):
        asked = config.per_trial.model_copy(update={"gpus": gpus})
        wanted = longer(config, 2, 2).model_copy(update={"per_trial": asked})
        assert {spec.conditions.device for spec in plan(wanted, folder, [0, 1]).values()} == {
            device
        }


def test_seeds_differ_between_runs_trials_and_repeats_and_stay() -> None:
    seeds = {final_seed(run, n, k) for run in range(3) for n in range(20) for k in range(3)}
    assert len(seeds) == 180 and min(seeds) >= 0 and max(seeds) < 2**31
    assert final_seed(0, 17, 1) == final_seed(0, 17, 1)


@pytest.mark.slow
def test_ray_makes_the_same_finals(
    repeated: tuple[Run, list[Event]], cheap: Run, config: SearchConfig, tmp_path: Path
) -> None:
    folder = copied(cheap, tmp_path / "run")
    on_ray = longer(config, 2, 2).model_copy(update={"executor": "ray", "concurrency": 2})
    run = run_search(on_ray, folder.path, resume=True)
    whole, _ = repeated
    assert {k: r.artifacts for k, r in run.finals().items()} == {
        k: r.artifacts for k, r in whole.finals().items()
    }
