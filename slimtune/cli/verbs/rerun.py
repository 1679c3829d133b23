"""``slimtune rerun``: repeat one recorded trial alone, in this process or in a Ray worker."""

import pdb
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from slimtune.cli.config.consent import consent_to
from slimtune.cli.config.settings import parse_assignments
from slimtune.cli.screen.console import log_console, plain_table, result_console
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.errors import RunError, UserError
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.store.finals import FinalKey, record_of
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.units import MISSING, quantity
from slimtune.search.review.rerun import RerunOptions, check_comparable, compare, rerun_trial
from slimtune.search.trial.spec import Outcome


def carry_out(
    state: State,
    /,
    *,
    run: Path,
    trial: int | None,
    final: str | None,
    check: bool,
    debugger: bool,
    ray: bool,
    from_stage: str | None,
    assignments: tuple[str, ...],
) -> int:
    """Repeat a trial; return 1 if it fails, or if --check finds a difference."""
    if check and assignments:
        raise click.UsageError("--check repeats the recorded recipe; it takes no --set.")
    if debugger and ray:
        raise click.UsageError("--pdb needs the trial in this process; leave --ray out.")
    folder = RunFolder.open(run)
    which = _which(trial, final)
    if check:
        check_comparable(record_of(folder, which))
    changes = parse_assignments(assignments)
    consent_to({"student": {"model": changes.get("student.model")}})
    again = partial(
        rerun_trial,
        folder,
        which,
        changes,
        RerunOptions(reraise=debugger, exact=check, ray=ray, from_stage=from_stage),
        note=lambda text: _note(state, text),
    )
    outcome = _debugged(again) if debugger else again()
    if outcome is None:
        return 1
    if outcome.status == "failed":
        return _show_failure(state, outcome.payload)
    title = f"final {which.name}" if isinstance(which, FinalKey) else f"trial {which}"
    _show_objectives(state, title, record_of(folder, which), outcome.payload)
    return _show_check(folder, outcome, which) if check else 0


def _which(trial: int | None, final: str | None) -> int | FinalKey:
    if final is not None and trial is None:
        return FinalKey.parse(final)
    if trial is None or final is not None:
        raise click.UsageError("Give either --trial N or --final NAME.")
    return trial


def _note(state: State, text: str) -> None:
    log_console(state).print(f"note: {text}", markup=False, soft_wrap=True)


def _debugged(again: Callable[..., Outcome]) -> Outcome | None:
    """Run the trial; if it raises, open the debugger there and return None."""
    try:
        return again()
    except (UserError, RunError):
        raise
    except Exception as error:  # any error of the trial is what the user wants to debug
        echo("".join(traceback.format_exception(error)), err=True, nl=False)
        pdb.post_mortem(error.__traceback__)
        return None


def _show_failure(state: State, record: TrialRecord) -> int:
    log_console(state).print(record.traceback or "", markup=False, soft_wrap=True)
    echo(f"error: trial {record.number} failed: {record.error}", err=True)
    return 1


def _show_objectives(
    state: State, title: str, recorded: TrialRecord, repeated: TrialRecord
) -> None:
    table = plain_table(title, "objective", "recorded", "repeated", "")
    for name, value in repeated.objectives.items():
        before = recorded.objectives.get(name)
        same = before == value
        stopped = recorded.status == "stopped"
        note = "equal" if same else "differs"
        note = "not compared" if name == "latency_ms" or stopped else note
        objective = OBJECTIVES[name]
        was = MISSING if before is None else quantity(objective, before, recorded.stable)
        table.add_row(objective.title, was, quantity(objective, value, repeated.stable), note)
    result_console(state).print(table)


def _show_check(folder: RunFolder, outcome: Outcome, which: int | FinalKey) -> int:
    """Print one line a file; return the exit code: 0 only if all are identical."""
    compared = compare(folder, outcome, which if isinstance(which, FinalKey) else None)
    for file in compared:
        verdict = "identical" if file.identical else "DIFFERENT"
        hashes = file.recorded if file.identical else f"{file.recorded} recorded, {file.repeated}"
        echo(f"{file.name:<20} {verdict}  sha256 {hashes}")
    return 0 if all(file.identical for file in compared) else 1
