"""``slimtune rerun``: one recorded trial again, alone, in this process."""

import pdb
import sys
import traceback
from pathlib import Path

import click

from slimtune.cli import words
from slimtune.cli.consent import allow_code_option, consent_to
from slimtune.cli.console import log_console, plain_table, result_console
from slimtune.cli.settings import parse_assignments
from slimtune.cli.state import State
from slimtune.errors import RunError, UserError
from slimtune.results.folder import RunFolder
from slimtune.results.record import TrialRecord
from slimtune.search.rerun import compare, rerun_trial
from slimtune.search.spec import Outcome

EPILOG = "Example: slimtune rerun runs/demo --trial 5 --pdb"


@click.command("rerun", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option("--trial", type=click.IntRange(min=0), required=True, metavar="N", help="Which one.")
@click.option(
    "--check", is_flag=True, help="Compare every file bit for bit; exit 1 if any differs."
)
@click.option("--pdb", "debugger", is_flag=True, help="Open the debugger where the trial fails.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe first, such as prune.amount=0.4; repeat for more.",
)
@allow_code_option
@click.pass_obj
def command(
    state: State,
    run: Path,
    trial: int,
    check: bool,
    debugger: bool,
    assignments: tuple[str, ...],
) -> int:
    """Repeat one trial of RUN with its recorded recipe, seed and threads.

    Nothing is written. Latency is measured again and shown, but never compared: it is the
    machine's, not the recipe's.
    """
    if check and assignments:
        raise click.UsageError("--check repeats the recorded recipe; it takes no --set.")
    folder = RunFolder.open(run)
    changes = parse_assignments(assignments)
    consent_to({"student": {"model": changes.get("student.model")}})
    outcome = (
        _debugged(folder, trial, changes) if debugger else rerun_trial(folder, trial, changes)
    )
    if outcome is None:
        return 1
    if outcome.status == "failed":
        return _show_failure(state, outcome.payload)
    _show_objectives(state, folder.record(trial), outcome.payload)
    return _show_check(folder, outcome) if check else 0


def _debugged(folder: RunFolder, number: int, changes: dict[str, object]) -> Outcome | None:
    """Run the trial and open the debugger at whatever it raises; None after that."""
    try:
        return rerun_trial(folder, number, changes, reraise=True)
    except (UserError, RunError):
        raise
    except Exception as error:  # the very thing to look at
        traceback.print_exception(error, file=sys.stderr)
        pdb.post_mortem(error.__traceback__)
        return None


def _show_failure(state: State, record: TrialRecord) -> int:
    log_console(state).print(record.traceback or "", markup=False, soft_wrap=True)
    click.echo(f"error: trial {record.number} failed: {record.error}", err=True)
    return 1


def _show_objectives(state: State, recorded: TrialRecord, repeated: TrialRecord) -> None:
    table = plain_table(f"trial {recorded.number}", "objective", "recorded", "repeated", "")
    for name, value in repeated.objectives.items():
        before = recorded.objectives.get(name)
        same = before == value
        note = "not compared" if name == "latency_ms" else "equal" if same else "differs"
        was = "—" if before is None else words.value(name, before)
        table.add_row(name, was, words.value(name, value), note)
    result_console(state).print(table)


def _show_check(folder: RunFolder, outcome: Outcome) -> int:
    """Print one line a file; return the exit code: 0 only if all are identical."""
    compared = compare(folder, outcome)
    for file in compared:
        verdict = "identical" if file.identical else "DIFFERENT"
        hashes = file.recorded if file.identical else f"{file.recorded} recorded, {file.repeated}"
        click.echo(f"{file.name:<20} {verdict}  sha256 {hashes}")
    return 0 if all(file.identical for file in compared) else 1
