"""``slimtune export``: copy members of the front out of the run, ready to deploy."""

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from slimtune.cli.options.allow_code import allow_code_option
from slimtune.cli.options.choosing import given_limits, limit_options
from slimtune.cli.screen import phrases
from slimtune.cli.screen.console import log_console
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.errors import ConfigError
from slimtune.results.delivery.delivery import FORMATS
from slimtune.results.member import Member
from slimtune.results.run import Run, open_run
from slimtune.results.store.finals import FOLDER as FINALS
from slimtune.results.units import plural, size
from slimtune.results.views.whole_front import export_front
from slimtune.workload.own_code import is_allowed

EPILOG = "Example: slimtune export runs/demo --pick size --min-accuracy 0.95 -o deploy"


class Formats(click.ParamType):
    """A list with commas, such as ``onnx,torch``."""

    name = "formats"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the names, each of which is a format."""
        names = (
            tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
        )
        for name in names:
            if name not in FORMATS:
                self.fail(f"{name!r} is not one of {', '.join(FORMATS)}", param, ctx)
        return names


@click.command("export", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option("--trial", type=click.IntRange(min=0), metavar="N", help="Export this trial.")
@click.option(
    "--pick",
    "how",
    type=click.Choice(["knee", "accuracy", "size", "latency"]),
    help="Export the knee of the front, or the best member in one objective.",
)
@click.option("--all", "whole", is_flag=True, help="Export every member, one folder each.")
@limit_options
@click.option(
    "--format",
    "formats",
    type=Formats(),
    default="onnx,torch",
    show_default=True,
    metavar="LIST",
    help="Formats of the model, separated by commas.",
)
@click.option(
    "--verify", is_flag=True, help="Measure the exported files again; exit 1 if they differ."
)
@click.option(
    "-o", "--output", type=Path, required=True, metavar="DIR", help="New or empty folder."
)
@allow_code_option
@click.pass_obj
def command(
    state: State,
    /,
    run: Path,
    trial: int | None,
    how: str | None,
    whole: bool,
    formats: tuple[str, ...],
    verify: bool,
    output: Path,
    **options: str | None,
) -> int:
    """Copy members of RUN's front into a new folder, and check them against their hashes.

    Give --trial, or --pick with limits, or --all with limits; limits alone mean --pick knee. A
    limit that you give replaces the search's own; none removes it. The folder holds the model, a
    model card, and a predict.py that works without slimtune.
    """
    limited = any(limit is not None for limit in options.values())
    picked = how is not None or limited
    if whole and (trial is not None or how is not None):
        raise click.UsageError("--all exports every member; leave --trial and --pick out.")
    if not whole and (trial is None) != picked:
        raise click.UsageError("Give either --trial N or --pick with limits, or --all.")
    opened = open_run(run)
    if verify:
        _check_consent(opened)
    view = opened.within(given_limits(options))
    if whole:
        view.pick()  # refuses limits that no trial satisfies
        members = view.front()
        target = export_front(opened, members, output, formats)
        folders = {int(n): target / f"trial-{int(n):04d}" for n in members["trial"]}
        _show_front(state, opened, target, len(folders))
    else:
        member = opened.trial(trial) if trial is not None else view.pick(how or "knee")
        target = member.export(output, formats)
        folders = {member.number: target}
        _show(state, view, member, target)
    return _verified(state, opened, folders) if verify else 0


def _check_consent(run: Run) -> None:
    """Check, before anything is written, that the code that a verification runs is allowed.

    Raises:
        ConfigError: the run names such code.
    """
    for reference in run.manifest["workload"].get("code", {}):
        if not is_allowed(reference):
            raise ConfigError(
                f"--verify: measuring again runs the run's code '{reference}', which needs "
                "--allow-code; add it, or leave --verify out"
            )


def _show(state: State, run: Run, member: Member, target: Path) -> None:
    """Print the folder as the result; its files, and how to use them, go to the log."""
    echo(target)
    log = log_console(state)
    numbers = phrases.measurements(*_as_in_the_front(run, member))
    final = f" (final {member.path.name})" if member.path.parent.name == FINALS else ""
    text = f"trial {member.number} of {run.path}: {member.record.pipeline}{final}"
    log.print(text, markup=False, soft_wrap=True)
    log.print(numbers, markup=False)
    for file in sorted(target.iterdir()):
        log.print(f"  {file.name:<20} {size(file.stat().st_size):>12}", markup=False)
    if (target / "predict.py").is_file():
        script = shlex.quote(str(target / "predict.py"))
        log.print(f"use it: python {script} image.png", markup=False, soft_wrap=True)
    if (model := target / "model.onnx").is_file():
        data = shlex.quote(str(run.manifest["config"].get("data", "DATA")))
        command = f"{phrases.program()} evaluate {shlex.quote(str(model))} --data {data}"
        log.print(f"try it: {command}", markup=False, soft_wrap=True)


def _as_in_the_front(run: Run, member: Member) -> tuple[dict[str, float], bool]:
    """Return a member's objectives, and whether its latency is stable.

    The latency is that of the joint measurement, if the member is on the front.
    """
    objectives, stable = dict(member.record.objectives), member.record.stable
    front = run.front()
    row = front[front["trial"] == member.number]
    if "latency_ms" in objectives and not row.empty:
        objectives["latency_ms"] = float(row["latency_ms"].iloc[0])
        stable = bool(row["stable"].iloc[0])
    return objectives, stable


def _show_front(state: State, run: Run, target: Path, members: int) -> None:
    echo(target)
    count = plural(members, "member")
    text = f"{count} of {run.path}, one folder each; start with {target / 'README.md'}"
    log_console(state).print(text, markup=False, soft_wrap=True)


def _verified(state: State, run: Run, folders: dict[int, Path]) -> int:
    """Measure the folders again and print one line per check; return 1 if any differs."""
    # Imported here: torch takes seconds to import, and only --verify needs it.
    verify = import_module("slimtune.search.review.verify").verify_export
    failed = 0
    for number, folder in folders.items():
        for check in verify(run.folder, number, folder):
            failed += not check.kept
            verdict = "ok" if check.kept else "DIFFERENT"
            recorded = f" (recorded {check.expected})" if check.expected else ""
            line = f"verify trial {number}: {check.what} {check.found}{recorded}: {verdict}"
            log_console(state).print(line, markup=False, soft_wrap=True)
    if failed:
        echo(f"error: {failed} of the exported measurements differ from the record", err=True)
    return int(failed > 0)
