"""SIGKILL of the search at random moments: whatever was finished stays, nothing is run twice.

Run as ``pytest -s -m slow tests/faults/test_killed_driver.py`` to see the counts.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


def finished(run: Path) -> dict[str, tuple[int, bytes]]:
    """Return when each result was written, and what it says."""
    files = run.glob("trials/[0-9][0-9][0-9][0-9]/result.json")
    return {file.parent.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def kill_and_go_on(
    searching: Callable[..., Any], run: Path, options: list[str], kills: int, seconds: float
) -> dict[str, int]:
    """Start the same command again and again, kill it ``kills`` times, let the last one end."""
    chance = random.Random(7)
    counts = {"kills": 0, "while training the baseline": 0, "while writing": 0}
    while counts["kills"] < kills:
        before = finished(run)
        process = searching("--out", str(run), "--resume", *options)
        assert process.until(lambda: process.holds(run)), "ended before its lock"  # noqa: B023
        counts["while training the baseline"] += not (run / "run.json").exists()
        if counts["kills"] % 4:  # not while it starts
            process.until(lambda: finished(run).keys() - before.keys())  # noqa: B023
        if counts["kills"] % 4 == 2:  # the moment at which files are being written
            process.until(lambda: any(run.glob("trials/*.tmp-*")))
        else:
            time.sleep(chance.uniform(0, seconds))
        assert process.kill(), "ended before it was killed: the run needs more trials"
        counts["kills"] += 1
        counts["while writing"] += any(run.rglob("*.tmp-*"))
        assert before.items() <= finished(run).items()
    before = finished(run)
    counts["kept by the last"] = len(before)
    assert searching("--out", str(run), "--resume", *options).wait() == 0
    assert before.items() <= finished(run).items()
    return counts


def test_three_kills_of_a_search_lose_nothing(tmp_path, searching, audited) -> None:
    run = tmp_path / "run"
    options = ["--trials", "6", "--no-ray", "-c", str(settings(tmp_path))]
    counts = kill_and_go_on(searching, run, options, kills=3, seconds=0.5)
    found = audited(run, 6)
    assert (counts["kills"], found["finished"], found["recipes"]) == (3, 6, 6)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_twenty_kills_of_one_search_lose_nothing(tmp_path, searching, audited, executor) -> None:
    run = tmp_path / "run"
    kills, trials, seconds = (20, 40, 1.0) if executor == "inline" else (6, 24, 2.0)
    options = ["--trials", str(trials), "-c", str(settings(tmp_path))]
    options += ["--no-ray"] if executor == "inline" else ["--concurrency", "2"]
    counts = kill_and_go_on(searching, run, options, kills, seconds)
    found = audited(run, trials)
    sys.stdout.write(f"\n{executor}: {counts} {found}\n")
    assert counts["kills"] == kills
    assert (found["finished"], found["running"], found["recipes"]) == (trials, 0, trials)


@pytest.mark.slow
def test_killed_workers_cost_no_trial(tmp_path, searching, audited) -> None:
    """Six SIGKILLs of workers at a trial; Ray runs that trial again.

    Each waits for the trials that the last one may have met: a worker that is free takes them
    first, and a trial whose process has died three times is given up.
    """
    run, trials = tmp_path / "run", 16
    options = ["--trials", str(trials), "--concurrency", "2", "--epochs", "5", "--no-stopping"]
    process = searching("--out", str(run), *options, "-c", str(settings(tmp_path)))
    chance = random.Random(3)
    met: set[int] = set()
    kills = 0
    while kills < 6:
        before = len(finished(run))
        assert process.until(lambda: met <= numbers(run) and len(finished(run)) > before)  # noqa: B023
        workers: list[int] = []  # seen and killed from one list: a moment later it may be empty
        assert process.until(lambda: workers.extend(trial_processes(process.pid)) or workers)  # noqa: B023
        with suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
        met = {n for n in range(trials) if process.says(f"trial {n:4}  started")}
        kills += 1
    assert process.wait() == 0
    found = audited(run, trials)
    sys.stdout.write(f"\n{kills} workers killed: {found}\n")
    assert (found["complete"], found["recipes"]) == (trials, trials)


def numbers(run: Path) -> set[int]:
    return {int(name) for name in finished(run)}


def trial_processes(driver: int) -> list[int]:
    """Return the worker processes at a trial among the driver's descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended in between
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    below = {driver}
    for _ in range(8):
        below |= {child for child, parent in parents.items() if parent in below}
    return [pid for pid in below if b"ray::_RayTrial" in command_line(pid)]


def command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def settings(folder: Path) -> Path:
    """Return a config file with a space that holds more recipes than the run has trials."""
    file = folder / "search.yaml"
    file.write_text(
        "space:\n  prune: {method: [l1, fpgm, taylor], amount: {low: 0.1, high: 0.8}}\n"
        "  distill: {method: none}\n"
    )
    return file
