"""What the search engine itself costs, with trials that do nothing.

    python benchmarks/engine.py [--trials 40] [--sizes 100 1000 10000] [--restart 1000]

Three tables: seconds per empty trial (torch imported, proposed by TPE, run, written, told) by
executor; proposals per second by the number of finished trials in the study; seconds to open a
run with so many finished trials, and to be ready to propose the next.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import optuna
import ray
import torch
from optuna.trial import TrialState
from table import Row

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.measurement.host import describe_host
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.proposing.plan import ProposalPlan
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.reconcile import reconcile
from slimtune.search.proposing.study import open_study
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.driver import Driver, Executor
from slimtune.search.trial.recorder import Recorder
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.spaces.space import Space, suggest_recipe

OBJECTIVES = ("accuracy", "size_bytes", "latency_ms")
DIRECTIONS = ("maximize", "minimize", "minimize")
MANIFEST: dict[str, Any] = {
    "config": {},
    "objectives": list(OBJECTIVES),
    "reference_point": {"accuracy": 0.0, "size_bytes": 1e6, "latency_ms": 10.0},
    "workload": {"fingerprint": "0" * 64},
}
SPACE = Space.restricted({})


def empty(_shared: None, spec: TrialSpec, _aids: Aids) -> Outcome:
    """Return numbers that follow from the trial's seed, at once."""
    generator = torch.Generator().manual_seed(spec.conditions.seed)
    values = torch.rand(len(OBJECTIVES), generator=generator).tolist()
    objectives = dict(zip(OBJECTIVES, values, strict=True))
    record = TrialRecord(
        number=spec.number,
        status="complete",
        recipe=spec.recipe,
        pipeline="nothing",
        conditions=spec.conditions,
        objectives=objectives,
    )
    files = {"model.onnx": b"0" * 300_000}
    return Outcome(spec.number, "complete", objectives, record, files)


def key(recipe: dict[str, Any]) -> str:
    """Return a recipe's identity, as a search takes it."""
    return Recipe.from_dict(recipe).key()


def proposer(study: optuna.Study, trials: int) -> Proposer:
    """Return a proposer of the default space."""
    return Proposer(
        study,
        ProposalPlan(lambda trial: suggest_recipe(trial, SPACE).to_dict(), trials, key),
        objectives=OBJECTIVES,
        conditions=Conditions(seed=0),
    )


class Engine(Driver):
    """A run folder, its study, and the times at which trials were done."""

    def __init__(self, path: Path, trials: int) -> None:
        exists = (path / "run.json").is_file()
        self.folder = RunFolder.open(path) if exists else RunFolder.create(path, MANIFEST)
        self.study = open_study(self.folder.study_path, DIRECTIONS, "engine")
        self.proposer = proposer(self.study, trials)
        self.recorder = Recorder(self.folder)
        self.specs: dict[int, TrialSpec] = {}
        self.done: list[float] = []

    def ask(self) -> TrialSpec | None:
        """Propose."""
        spec = self.proposer.ask()
        if spec is not None:
            self.specs[spec.number] = spec
        return spec

    def tell(self, outcome: Outcome) -> None:
        """Write, tell, and look at the clock."""
        self.proposer.tell(self.recorder.record(self.specs[outcome.number], outcome))
        self.done.append(time.perf_counter())


def executors(trials: int, folder: Path) -> Iterator[tuple[str, list[float]]]:
    """Yield each executor's name and the seconds between its outcomes."""
    runs: dict[str, Executor] = {
        "inline": InlineExecutor(),
        "ray, 1 at a time": RayExecutor(concurrency=1),
        "ray, 2 at a time": RayExecutor(concurrency=2),
    }
    for name, executor in runs.items():
        engine = Engine(folder / name.replace(" ", "-").replace(",", ""), trials)
        executor.run(empty, None, engine)
        warm = engine.done[3:]  # the first wait for worker processes and imports
        yield name, [after - before for before, after in itertools.pairwise(warm)]


def proposing(size: int, folder: Path, n: int = 7) -> list[float]:
    """Return the seconds of ``n`` proposals of TPE with ``size`` finished trials."""
    study = open_study(filled(folder / f"{size}.db", drawn(size)), DIRECTIONS, "engine")
    asked, seconds = proposer(study, size + n), []
    for _ in range(n):
        started = time.perf_counter()
        spec = asked.ask()
        seconds.append(time.perf_counter() - started)
        assert spec is not None
        asked.tell(empty(None, spec, Aids()))
    return seconds


def filled(path: Path, trials: list[optuna.trial.FrozenTrial]) -> Path:
    """Write a study of finished trials; in memory first, where a transaction need not wait."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        there = Path(name, "study.db")
        open_study(there, DIRECTIONS, "engine").add_trials(trials)
        shutil.copy(there, path)
    return path


def drawn(size: int) -> list[optuna.trial.FrozenTrial]:
    """Return finished trials with random recipes, as a search would have left them."""
    return [
        trial for start in range(0, size, 100) for trial in _drawn(start, min(start + 100, size))
    ]


def _drawn(first: int, last: int) -> list[optuna.trial.FrozenTrial]:
    # A hundred a study: one that holds ten thousand slows down with each.
    sampler = optuna.samplers.RandomSampler(first)
    study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
    for number in range(first, last):
        trial = study.ask()
        recipe = suggest_recipe(trial, SPACE).to_dict()
        spec = TrialSpec(number, recipe, Conditions(seed=number))
        trial.set_user_attr("spec", spec.to_dict())
        trial.set_user_attr("key", key(recipe))
        objectives = empty(None, spec, Aids()).objectives
        study.tell(trial, [objectives[name] for name in OBJECTIVES])
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def restarting(size: int, folder: Path, n: int = 5) -> list[float]:
    """Return the seconds to open a run of ``size`` finished trials and make it ready, n times."""
    trials = drawn(size)
    path = folder / "restart"
    filled(RunFolder.create(path, MANIFEST).study_path, trials)
    first = Engine(path, size)
    for trial in trials:
        spec = TrialSpec.from_dict(trial.user_attrs["spec"])
        first.recorder.record(spec, empty(None, spec, Aids()))
    seconds = []
    for _ in range(n):
        started = time.perf_counter()
        again = Engine(path, size + 1)
        assert reconcile(again.folder, (again.study, again.proposer), click.echo) == 0
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--restart", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    cpu = describe_host().get("cpu")
    versions = f"ray {ray.__version__} · optuna {optuna.__version__} · torch {torch.__version__}"
    click.echo(f"{cpu} · {versions}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for executor, seconds in executors(options.trials, folder):
            row(f"an empty trial, {executor}", seconds)
        for size in options.sizes:
            seconds = proposing(size, folder)
            row(f"a proposal, {size} trials finished", seconds, rate=True)
        row(f"a restart, {options.restart} trials finished", restarting(options.restart, folder))


def rows(short: bool) -> Iterator[Row]:
    """Measure an empty trial and a proposal, for the table of all benchmarks."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        for executor, seconds in executors(12 if short else 40, Path(name)):
            yield Row(f"an empty trial, {executor}", "-", tuple(seconds), 0.5, False, "s")
        seconds = tuple(proposing(100, Path(name)))
        yield Row("a proposal, 100 trials finished", "-", seconds, 0.5, False, "s")


def row(what: str, seconds: list[float], rate: bool = False) -> None:
    """Print median, spread and n."""
    middle = statistics.median(seconds)
    text = (
        f"{what:<40} {middle:8.3f} s  ({min(seconds):.3f}-{max(seconds):.3f}, n = {len(seconds)})"
    )
    click.echo(text + (f"  {1 / middle:.1f} a second" if rate else ""))


if __name__ == "__main__":
    main()
