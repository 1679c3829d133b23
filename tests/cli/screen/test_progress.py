import dataclasses
import io
from pathlib import Path
from typing import Any

from rich.console import Console

from slimtune.cli.screen.progress import Progress, outcome
from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord

WORKLOAD: dict[str, Any] = {
    "data": "digits",
    "image_shape": (1, 8, 8),
    "classes": 10,
    "train": 1008,
    "validation": 250,
    "test": 539,
    "validation_source": "train",
    "model": "resnet8x2",
    "params": 297_400,
    "trials": 2,
    "workers": 2,
    "seed": 0,
}
BASELINE = {"accuracy": 0.988, "test_accuracy": 0.9833, "size_bytes": 2048, "latency_ms": 0.5}


def record(number: int, **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "number": number,
        "status": "complete",
        "recipe": {},
        "pipeline": "l1 [50]%",
        "conditions": Conditions(0),
        "objectives": {"accuracy": 0.9, "size_bytes": 1024, "latency_ms": 0.25},
    }
    return TrialRecord(**{**values, **changes})


def shown(*, terminal: bool = False, verbose: bool = False, width: int = 60) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, highlight=False)
    with Progress(console, Path("runs/a"), verbose) as progress:
        progress("workload", WORKLOAD)
        progress("epoch", {"epoch": 1, "loss": 0.5, "lr": 0.1, "validation_accuracy": 0.75})
        progress("baseline", BASELINE)
        progress("warning", {"text": "the [bold] rule"})
        progress("started", {"number": 0, "pipeline": "l1 [50]%"})
        progress("finished", {"record": record(0)})
        failed = record(1, status="failed", error="no [channel] left", objectives={})
        progress("finished", {"record": failed})
        progress("an event of a later version", {})
    return file.getvalue()


def test_without_a_terminal_there_is_one_plain_line_a_finished_trial() -> None:
    lines = shown().splitlines()
    assert lines[0].endswith("run folder runs/a")
    assert lines[1:] == [
        "data      digits · 10 classes · 1×8×8 · train 1008, validation 250 (cut from train), "
        "test 539",
        "search    resnet8x2 · 297.4 k params · 2 trials × 2 workers · seed 0",
        "baseline  accuracy 0.9880 validation, 0.9833 test · size 2.0 KiB · latency 0.500 ms",
        "warning: the [bold] rule",
        "trial    0      1/2  accuracy 0.9000  size 1.0 KiB  latency 0.250 ms  l1 [50]%",
        "trial    1      2/2  failed: no [channel] left  l1 [50]%",
    ]


def test_verbose_adds_the_epochs_of_the_baseline_and_the_trials_that_start() -> None:
    added = [line for line in shown(verbose=True).splitlines() if line not in shown().splitlines()]
    assert added == [
        "baseline  epoch 1  loss 0.5000  validation 0.7500",
        "trial    0  started  l1 [50]%",
    ]


def test_a_terminal_gets_a_live_picture_with_counts_failures_and_the_last_trial() -> None:
    text = shown(terminal=True, width=200)
    assert "trial    0      1/2" not in text
    assert "2/2" in text
    assert "1 failed" in text
    assert "failed: no [channel] left" in text
    assert "\x1b[33mwarning: the [bold] rule" in text


def test_a_quiet_console_shows_nothing() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, quiet=True)
    with Progress(console, Path("runs/a")) as progress:
        progress("workload", WORKLOAD)
        progress("finished", {"record": record(0)})
    assert file.getvalue() == ""


def test_a_resumed_run_counts_on_from_what_is_finished() -> None:
    file = io.StringIO()
    with Progress(Console(file=file, width=60, highlight=False), Path("runs/a")) as progress:
        progress("workload", {**WORKLOAD, "trials": 3})
        progress("resumed", {"records": [record(0), record(2)], "again": 1, "total": 4})
        progress("finished", {"record": record(1)})
        progress("stopping", {"grace": 10.0})
    lines = file.getvalue().splitlines()[3:]
    assert lines[0] == "resumed   2 of 4 trials are finished, 1 will run again"
    assert lines[1].startswith("trial    1      3/4  ")
    assert lines[2].startswith("stopping: no new trials; those that run have 10 s to end")


def test_a_search_that_stops_early_says_why_and_after_how_many_trials() -> None:
    file = io.StringIO()
    with Progress(Console(file=file, width=60), Path("runs/a")) as progress:
        progress("workload", WORKLOAD)
        progress("finished", {"record": record(0)})
        progress("stopped", {"reason": "the time budget of 1m is spent"})
    assert "stopped   the time budget of 1m is spent · 1/2 trials\n" in file.getvalue()


def test_a_trial_that_took_its_beginning_from_the_store_says_so() -> None:
    file = io.StringIO()
    with Progress(Console(file=file, width=60), Path("runs/a")) as progress:
        progress("finished", {"record": dataclasses.replace(record(0), reused="train")})
    assert file.getvalue().endswith("  (train from the store)\n")


FINALS = {"members": 2, "repeats": 1, "epochs": 30, "cheap": 3, "finished": 0, "total": 2}


def shown_finals(terminal: bool = False, left: list[int] | None = None, **changes: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=200, highlight=False)
    with Progress(console, Path("runs/a")) as progress:
        progress("workload", WORKLOAD)
        progress("finals", {**FINALS, **changes})
        final = {"name": "0000-e30-r0", "trial": 0, "repeat": 0, "finished": 1, "total": 2}
        progress("final_started", {**final, "pipeline": "l1 [50]%"})
        progress("final_finished", {**final, "record": record(0)})
        progress("finals_measured", {"left": left or []})
    return file.getvalue()


def test_finals_are_announced_and_told_one_by_one() -> None:
    assert shown_finals().splitlines()[3:] == [
        "finals    the front's 2 members again, 1 seed each, 30 epochs (trials: 3)",
        "final 0000-e30-r0      1/2  accuracy 0.9000  size 1.0 KiB  latency 0.250 ms  l1 [50]%",
    ]


def test_finals_of_the_same_length_and_those_that_are_finished_are_told_so() -> None:
    text = shown_finals(epochs=3, repeats=4, finished=5, total=8)
    assert "members again, 4 seeds each, 3 epochs · 5 of 8 are finished\n" in text


def test_on_a_terminal_finals_have_a_live_line_of_their_own() -> None:
    text = shown_finals(terminal=True)
    assert "1/2 finals" in text and "final 0000-e30-r0: accuracy 0.9000" in text
    assert "  1/2  accuracy" not in text  # the line that tells it where there is no picture


def test_the_end_names_the_volume_as_a_share_and_the_report() -> None:
    file = io.StringIO()
    with Progress(Console(file=file, width=60), Path("runs/a")) as progress:
        progress("final", {"members": 3, "hypervolume": 7.6e4, "share": 0.6123456})
        progress("report", {"path": "runs/a/report.html"})
    assert file.getvalue() == (
        "front     3 members · hypervolume 0.6123\nreport    runs/a/report.html\n"
    )


def test_a_stopped_trial_says_why() -> None:
    assert outcome(record(0, status="stopped", error="too slow")) == "stopped: too slow"


def test_members_that_are_dominated_at_full_length_are_named() -> None:
    line = shown_finals(left=[7]).splitlines()[-1]
    assert line == "finals    at full length off the front: trial 7"
    assert shown_finals(left=[7, 12]).endswith("off the front: trials 7, 12\n")


def test_stopped_trials_are_told_with_the_reason_and_counted() -> None:
    stopped = record(
        1, status="stopped", error="fine-tune 2/4: dominated by 3 of 4 peers, 4 of them by fewer"
    )
    for terminal, expected in [
        (
            False,
            "trial    1      2/2  stopped after epoch 2 of 4 (fine-tune): "
            "4 of 4 comparable trials were better  l1 [50]%",
        ),
        (True, "2/3 trials · 1 stopped"),
    ]:
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=200, highlight=False)
        with Progress(console, Path("runs/a")) as progress:
            progress("workload", {**WORKLOAD, "trials": 3 if terminal else 2})
            progress("started", {"number": 0, "pipeline": "l1"})
            progress("finished", {"record": record(0)})
            progress("finished", {"record": stopped})
        assert expected in file.getvalue()


def test_what_the_data_left_out_is_told_below_it() -> None:
    file = io.StringIO()
    with Progress(
        Console(file=file, width=60, highlight=False), Path("runs/a"), False
    ) as progress:
        progress("workload", {**WORKLOAD, "notes": ("left out folder extra/ (2 files)",)})
    assert file.getvalue().splitlines()[2] == "note      left out folder extra/ (2 files)"


def test_limits_are_told_as_resolved_and_as_they_were() -> None:
    file = io.StringIO()
    limits = {"limits": {"size_bytes": 20_000.0}, "asked": {"size_bytes": "20kB"}}
    before = {"before": {"accuracy": 0.95}, "asked_before": {"accuracy": "-1%"}, "stopped": [3, 5]}
    with Progress(Console(file=file, width=200, highlight=False), Path("runs/a")) as progress:
        progress("limits", limits)
        progress("limits", {**limits, **before})
        progress("limits", {"limits": {}, "asked": {}, **before, "stopped": []})
    assert file.getvalue().splitlines() == [
        "limits    size <= 20 kB",
        "limits    size <= 20 kB (before: accuracy >= 0.95 (-1%))",
        "limits    2 trials stopped under earlier limits stay stopped (3, 5); slimtune rerun "
        "runs/a --trial N runs one to its end",
        "limits    none (before: accuracy >= 0.95 (-1%))",
    ]
