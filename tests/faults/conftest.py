"""Real searches in processes of their own, to be stopped in every way."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slimtune.results.store.folder import RunFolder
from slimtune.results.store.sealed import read_sealed
from slimtune.search.proposing.study import open_study

RUN = """
import os, sys
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(log, 1)
os.dup2(log, 2)
os.setpgid(0, 0)
from slimtune.search.finals import joint_measurement
from slimtune.search.trial import trial
joint_measurement.FRONT_LATENCY_SECONDS, trial.LATENCY_SECONDS = 0.2, {latency!r}
from slimtune.cli.main import main
code = main({arguments!r})
sys.stdout.flush()
os._exit(code)
"""
PRELOADED = [
    "slimtune.cli.main",
    "slimtune.cli.verbs.search",
    "sklearn.datasets",
    "alembic.command",
]
SMALL = ["search", "--model", "resnet8", "--data", "digits", "--epochs", "0"]
SMALL += ["--set", "baseline.epochs=1", "--set", "space.quantize.method=none"]


class Searching:
    """One process that runs ``slimtune search``, forked from one that has torch loaded.

    Args:
        arguments: of the command line, after ``search``.
        log: file that its output is added to.
        latency: seconds that measuring a trial takes.
    """

    def __init__(self, arguments: list[str], log: Path, latency: float = 0.2) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        code = RUN.format(log=str(log), latency=latency, arguments=["-v", *SMALL, *arguments])
        self._process = context.Process(target=exec, args=(code,))
        self._process.start()
        self.pid: int = self._process.pid or 0
        self._log = log

    def kill(self) -> bool:
        """Kill it; return whether it was still at work."""
        self._process.kill()
        return self.wait() == -signal.SIGKILL

    def signal(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, seconds: float = 240) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def until(self, condition: Callable[[], object]) -> bool:
        """Wait until something is so; return False if the process ended before."""
        while not condition():
            if self._process.exitcode is not None:
                return bool(condition())
            time.sleep(0.002)
        return True

    def holds(self, run: Path) -> bool:
        """Return whether it has taken the run folder's lock."""
        lock = run / "lock"
        return lock.is_file() and lock.read_text().startswith(f"process {self.pid} ")

    def says(self, text: str) -> bool:
        return self._log.is_file() and text in self._log.read_text()


@pytest.fixture
def searching(tmp_path: Path) -> Iterator[Callable[..., Searching]]:
    """Start searches; what is left of them at the end is killed."""
    started = []

    def start(*arguments: str, latency: float = 0.2) -> Searching:
        started.append(Searching(list(arguments), tmp_path / "log", latency))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def audit(run: Path, trials: int) -> dict[str, Any]:
    """Check that a finished run is whole, and return what was counted."""
    folder = RunFolder.open(run)
    records = folder.records()
    directions = ["maximize", "minimize", "minimize"]
    study = open_study(folder.study_path, directions, "unused").get_trials(deepcopy=False)
    states = [trial.state.name for trial in study]
    assert [record.number for record in records] == list(range(trials))
    assert [trial.number for trial in study] == list(range(trials))
    assert "RUNNING" not in states
    for record, trial in zip(records, study, strict=True):
        folder.verify(record.number)
        spec = read_sealed(folder.trial_path(record.number) / "spec.json")
        assert spec == trial.user_attrs["spec"]
        assert (record.status == "failed") == (trial.state.name == "FAIL")  # stopped: complete
        if trial.values is not None:
            assert list(record.objectives.values()) == trial.values
    assert list(run.rglob("*.tmp-*")) == [] and list(run.rglob("*.damaged-*")) == []
    assert (run / "front" / "front.json").is_file()
    keys = {trial.user_attrs["key"] for trial in study}
    return {
        "finished": len(records),
        "complete": states.count("COMPLETE"),
        "failed": states.count("FAIL"),
        "running": states.count("RUNNING"),
        "recipes": len(keys),
        "files": sum(len(record.artifacts) for record in records),
    }


@pytest.fixture
def audited() -> Callable[[Path, int], dict[str, Any]]:
    return audit
