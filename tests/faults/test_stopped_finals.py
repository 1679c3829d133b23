"""SIGKILL and SIGINT while the front's members run at full length: finished ones stay."""

import random
import signal
import time
from pathlib import Path

import pytest

from slimtune.results.run import open_run
from slimtune.results.store.final import read_final
from slimtune.results.store.finals import FinalKey

pytestmark = pytest.mark.slow
OPTIONS = ["--trials", "2", "--no-ray", "--repeats"]


def finished(run: Path) -> dict[str, tuple[int, bytes]]:
    """Return when each final was written, and what it says."""
    files = run.glob("finals/[0-9]*-e0-r[0-9]/result.json")
    return {file.parent.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def check_whole(run: Path, repeats: int) -> int:
    """Check that each member has each of its finals once, and return how many there are."""
    opened = open_run(run)
    members = {row.trial: row for row in read_final(run) if row.trial is not None}
    keys = [FinalKey(trial, 0, repeat) for trial in sorted(members) for repeat in range(repeats)]
    assert list(opened.finals()) == keys and keys
    assert {row.repeats for row in members.values()} == {repeats}
    assert len({record.conditions.seed for record in opened.finals().values()}) == len(keys)
    for key in keys:
        assert (run / "finals" / key.name / "model.onnx").is_file()
    assert list(run.rglob("*.tmp-*")) == [] and list(run.rglob("*.damaged-*")) == []
    return len(keys)


def test_kills_among_the_finals_lose_nothing_and_nothing_is_run_twice(tmp_path, searching) -> None:
    run, chance, kills = tmp_path / "run", random.Random(5), 0
    while kills < 3:
        before = finished(run)
        process = searching("--out", str(run), "--resume", *OPTIONS, "8", "-c", *config(tmp_path))
        assert process.until(lambda: finished(run).keys() - before.keys())  # noqa: B023
        if kills == 1:  # the moment at which files are being written
            process.until(lambda: any(run.glob("finals/*.tmp-*")))
        else:
            time.sleep(chance.uniform(0, 0.3))
        assert process.kill(), "ended before it was killed: it needs more finals"
        kills += 1
        assert before.items() <= finished(run).items()
    before = finished(run)
    assert searching("--resume", str(run)).wait() == 0
    assert before.items() <= finished(run).items()
    assert process.says(f"{len(before)} of {check_whole(run, 8)} are finished")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_the_final_end_and_says_how_to_go_on(tmp_path, searching, number) -> None:
    run = tmp_path / "run"
    process = searching("--out", str(run), *OPTIONS, "2", "-c", *config(tmp_path))
    assert process.until(lambda: process.says("-r0  started"))
    process.signal(number)
    assert process.wait() == 130
    assert process.says("stopping") and process.says(f"search --resume {run}")
    assert len(finished(run)) >= 1 and list(run.rglob("*.tmp-*")) == []
    assert searching("--resume", str(run)).wait() == 0
    check_whole(run, 2)


def config(folder: Path) -> list[str]:
    """Return a config file for a space in which nothing is trained."""
    file = folder / "search.yaml"
    file.write_text("space:\n  prune: {method: [l1, fpgm]}\n  distill: {method: none}\n")
    return [str(file)]
