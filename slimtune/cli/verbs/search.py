"""``slimtune search``: make a config of the options, run the search and print the front."""

import json
import re
import shlex
import time
from pathlib import Path
from typing import Any

import click

from slimtune.cli.config.config_file import dump_yaml
from slimtune.cli.config.settings import parse_assignments, search_config
from slimtune.cli.options.per_trial import PER_TRIAL
from slimtune.cli.options.steering import STEERING
from slimtune.cli.options.trial_count import total_trials
from slimtune.cli.screen.console import log_console, result_console
from slimtune.cli.screen.dry_run import show_dry_run
from slimtune.cli.screen.interrupted import leave_when_stuck
from slimtune.cli.screen.json_events import JsonEvents, json_line
from slimtune.cli.screen.phrases import program
from slimtune.cli.screen.progress import Progress
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.errors import NothingMatchesError, RunError, UnknownNameError
from slimtune.results.run import Run
from slimtune.results.store.files import atomic_write
from slimtune.results.store.finals import FOLDER as FINALS
from slimtune.results.units import duration
from slimtune.results.views.plots import spread_png
from slimtune.results.views.summary import summarise, summary_table
from slimtune.results.views.tables import front_json, front_table
from slimtune.search.resuming.resume import recorded_settings
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.settings.references import check_address


def carry_out(
    state: State,
    /,
    *,
    file: Path | None,
    preset: str | None,
    assignments: tuple[str, ...],
    out: Path | None,
    resume: str | None,
    print_config: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Start or continue a search, and show its progress and then its front."""
    run = _run_to_resume(out, resume)
    recorded = {} if run is None else recorded_settings(run)
    options["trials"] = total_trials(
        options["trials"], make_config(recorded) if recorded else None
    )
    config = search_config(_dotted(options), assignments, file=file, preset=preset, run=recorded)
    if config.executor == "inline" and options["ray_address"] is not None:
        raise click.UsageError(
            "--ray-address needs Ray, but the executor is inline: leave --no-ray out, or add "
            "--set executor=ray if a config or a run sets inline."
        )
    if config.executor != "inline":
        check_address(config.ray_address, {**options, **parse_assignments(assignments)})
    if print_config:
        settings = config.model_dump(mode="json", exclude_none=True)
        echo(json.dumps(settings, indent=2) if state.json else dump_yaml(settings).rstrip())
        return
    if dry_run:
        show_dry_run(state, config, out, resumed=run is not None)
        return
    out = run or out or new_run_folder(preset or f"{config.model}-{config.data}")
    run_and_show(state, config, out, resume=run is not None)


def _run_to_resume(out: Path | None, resume: str | None) -> Path | None:
    """Return the folder to resume; None without ``--resume``.

    ``--resume RUN`` may be the only option, so RUN must exist. ``--out RUN --resume`` also starts
    a new run: a script that may be stopped uses the same command every time.
    """
    if resume is None:
        return None
    if not resume and out is None:
        raise click.UsageError("--resume needs the run: give --resume RUN, or --out as well.")
    if resume and out is not None and out.absolute() != Path(resume).absolute():
        raise click.UsageError(f"--resume {resume} and --out {out} are two runs; give one.")
    run = Path(resume) if resume else out
    if resume and not (Path(resume) / "run.json").is_file():
        raise RunError(
            f"{resume!r} is not a slimtune run (no run.json); to start it, or to restart one "
            f"that has no baseline yet, give all settings, --out {resume} and --resume"
        )
    return run


def run_and_show(state: State, config: SearchConfig, out: Path, resume: bool = False) -> None:
    """Run the search with progress on standard error and the front on standard output.

    Raises:
        SlimtuneError: as `run_search`.
        NothingMatchesError: no trial is within the limits; the run is kept.
    """
    state.run = out
    run_one = _run_with_json if state.json else _run_with_progress
    run = run_one(state, config, out, resume)
    if missed := run.nearest_miss():
        raise NothingMatchesError(f"{missed}; the run is kept in {run.path}")


def _run_with_progress(state: State, config: SearchConfig, out: Path, resume: bool) -> Run:
    log = log_console(state)
    started = time.monotonic()
    with Progress(log, out, verbose=state.verbosity > 0) as progress:
        run = run_search(config, out, leave_when_stuck(state, progress), resume=resume)
    if config.summary:
        _show_summary(state, run, config)
    result_console(state).print(front_table(run))
    log.print(_summary(run, time.monotonic() - started), soft_wrap=True, markup=False)
    for line in _next_commands(run):
        log.print(line, soft_wrap=True, markup=False)
    return run


def _run_with_json(state: State, config: SearchConfig, out: Path, resume: bool) -> Run:
    """Run the search, and print each event, and then the front, as a line of JSON."""
    run = run_search(config, out, leave_when_stuck(state, JsonEvents()), resume=resume)
    echo(json_line("front", {"run": str(run.path), "members": json.loads(front_json(run))}))
    return run


def _show_summary(state: State, run: Run, config: SearchConfig) -> None:
    """Print the table of all pipelines, and draw their spread if there are several seeds."""
    log = log_console(state)
    try:
        table = summarise(run, config.summary)
    except UnknownNameError as error:  # the search is done: its front must still be shown
        log.print(f"warning: no summary: {error}", soft_wrap=True, markup=False)
        return
    result_console(state).print(summary_table(table))
    result_console(state).print()
    if len(config.seeds) > 1:
        figure = run.path / "summary.png"
        atomic_write(figure, spread_png(run))
        log.print(f"mean and spread over the seeds: {figure}", soft_wrap=True, markup=False)


def new_run_folder(name: str) -> Path:
    """Return ``runs/NAME``, or the first of ``runs/NAME-2``, ``-3``... that does not exist."""
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60] or "run"
    candidate, number = Path("runs", slug), 2
    while candidate.exists():
        candidate, number = Path("runs", f"{slug}-{number}"), number + 1
    return candidate


def _dotted(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options under the dotted names that the settings have."""
    plain = ("model", "weights", "data", "teacher", "teacher_weights", "trials", "seed")
    return {
        **{name: options[name] for name in (*plain, "concurrency", "ray_address")},
        "allow_weak_baseline": options["allow_weak_baseline"],
        **{setting: options[name] for name, setting in STEERING.items()},
        **{setting: options[name] for name, setting in PER_TRIAL.items()},
        "objectives": options["objectives"] or None,
        "log_to": options["log_to"] or None,
        "executor": "inline" if options["no_ray"] else None,
        "validation.source": options["validation_source"],
        "space.train.epochs": options["epochs"],
    }


def _summary(run: Run, seconds: float) -> str:
    """Return the time that the search took, and how many trials ended in which way."""
    records = run.records
    failed = [record for record in records if record.status == "failed"]
    stopped = sum(record.status == "stopped" for record in records)
    complete = len(records) - len(failed) - stopped
    text = f"done in {duration(seconds)} · {complete} complete"
    text += f", {stopped} stopped" if stopped else ""
    if failed:
        file = run.path / "trials" / f"{failed[0].number:04d}" / "error.txt"
        text += f", {len(failed)} failed (see {file})"
    if reused := sum(bool(record.reused) for record in records):
        text += f" · {reused} reused a stage of another trial"
    return text + _finals_words(run)


def _finals_words(run: Run) -> str:
    finals = run.finals()
    if not finals:
        return ""
    failed = [key.name for key, record in finals.items() if record.status == "failed"]
    text = f" · {len(finals) - len(failed)} finals"
    file = run.path / FINALS / failed[0] / "error.txt" if failed else ""
    return text + (f", {len(failed)} failed (see {file})" if failed else "")


def _next_commands(run: Run) -> list[str]:
    """Return commands to type next; the second has a limit that this front satisfies."""
    front = run.front()
    if front.empty:
        return []
    path = shlex.quote(str(run.path))
    commands = [f"next: {program()} export {path} --pick knee -o deploy/"]
    if "accuracy" in front and "size_bytes" in front and len(front) > 1:
        middle = float(front["accuracy"].iloc[len(front) // 2])
        floor = int(middle * 1000) / 1000
        commands.append(
            f"  or: {program()} export {path} --pick size --min-accuracy {floor:g} -o small/"
        )
    return commands
