"""Ctrl-C and SIGTERM to a real search: once and twice, in this process and on Ray."""

import signal

import pytest

from slimtune.results.run import open_run

LONG = ["--epochs", "100"]  # about half a minute a trial


def test_one_sigterm_lets_the_trial_end_and_says_how_to_go_on(
    tmp_path, searching, audited
) -> None:
    run = tmp_path / "run"
    process = searching("--out", str(run), "--trials", "3", "--no-ray", "-c", *config(tmp_path))
    assert process.until(lambda: process.says("started"))
    process.signal(signal.SIGTERM)
    assert process.wait() == 130
    assert process.says("stopping: no new trial starts; running trials have 10 s to finish")
    assert process.says(f"search --resume {run}")
    assert [record.number for record in open_run(run).records] == [0]
    assert searching("--resume", str(run)).wait() == 0
    assert audited(run, 3)["finished"] == 3


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_wait_for_the_trial(tmp_path, searching, second) -> None:
    run = tmp_path / "run"
    process = searching("--out", str(run), "--no-ray", "-c", *config(tmp_path), "--epochs", "999")
    assert process.until(lambda: process.says("started"))
    process.signal(signal.SIGINT)
    assert process.until(lambda: process.says("stopping"))
    process.signal(second)
    assert process.wait() == 130
    assert open_run(run).records == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)]
)
def test_on_ray_running_trials_end_within_the_grace_period(
    tmp_path, searching, audited, number, group
) -> None:
    """A terminal sends Ctrl-C to the whole group of processes, Ray's among them."""
    run = tmp_path / "run"
    process = searching("--out", str(run), "--trials", "8", "-c", *config(tmp_path))
    assert process.until(lambda: process.says("trial    0      "))
    before = {record.number for record in open_run(run).records}
    process.signal(number, group)
    assert process.wait() == 130
    assert process.says("stopping") and process.says(f"search --resume {run}")
    numbers = {record.number for record in open_run(run).records}
    assert before < numbers and len(numbers) < 8
    assert all(record.status == "complete" for record in open_run(run).records)
    assert searching("--resume", str(run)).wait() == 0
    assert audited(run, 8)["complete"] == 8


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_on_ray_a_second_signal_ends_at_once_and_says_how_to_go_on(
    tmp_path, searching, second
) -> None:
    run = tmp_path / "run"
    options = ["--trials", "2", "--concurrency", "1", "-c", *config(tmp_path), *LONG]
    process = searching("--out", str(run), *options)
    assert process.until(lambda: process.says("trial    0  started"))
    process.signal(signal.SIGTERM)
    assert process.until(lambda: process.says("stopping"))
    process.signal(second)
    assert process.wait() == 130
    assert process.says(f"search --resume {run}") and not process.says("Traceback")
    assert open_run(run).records == []


@pytest.mark.slow
def test_a_sigterm_that_ends_ray_as_well_still_says_how_to_go_on(
    tmp_path, searching, audited
) -> None:
    """As `timeout` and some service managers do; Ray itself ends the process in a minute."""
    run = tmp_path / "run"
    process = searching("--out", str(run), "--trials", "8", "-c", *config(tmp_path))
    assert process.until(lambda: process.says("trial    0      "))
    before = {record.number for record in open_run(run).records}
    process.signal(signal.SIGTERM, group=True)
    assert process.wait(50) == 130
    assert process.says(f"search --resume {run}")
    assert before <= {record.number for record in open_run(run).records}
    assert searching("--resume", str(run)).wait() == 0
    assert audited(run, 8)["complete"] == 8


@pytest.mark.slow
def test_on_ray_a_trial_that_outlasts_the_grace_period_runs_again(
    tmp_path, searching, audited
) -> None:
    run = tmp_path / "run"
    process = searching("--out", str(run), "--trials", "2", "-c", *config(tmp_path), *LONG)
    assert process.until(lambda: process.says("trial    1  started"))
    process.signal(signal.SIGINT)
    assert process.wait() == 130
    assert open_run(run).records == []
    assert searching("--resume", str(run), *LONG).wait() == 0
    assert process.says("0 of 2 trials are finished, 2 will run again")
    assert audited(run, 2)["finished"] == 2


def config(folder) -> list[str]:
    """Return a config file for a space in which nothing is trained."""
    file = folder / "search.yaml"
    file.write_text("space:\n  prune: {method: [l1, fpgm]}\n  distill: {method: none}\n")
    return [str(file)]
