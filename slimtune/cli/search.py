"""``slimtune search``: options to a config, a search with progress, the front at the end."""

import json
import re
import shlex
import time
from pathlib import Path
from typing import Any

import click
from click import IntRange

from slimtune.cli.config_file import dump_yaml
from slimtune.cli.consent import allow_code_option
from slimtune.cli.console import json_option, log_console, result_console
from slimtune.cli.dry_run import show_dry_run
from slimtune.cli.json_events import JsonEvents
from slimtune.cli.per_trial import PER_TRIAL, per_trial_options
from slimtune.cli.progress import Progress
from slimtune.cli.settings import search_config
from slimtune.cli.state import State
from slimtune.cli.steering import STEERING, steering_options
from slimtune.cli.words import duration, program
from slimtune.errors import RunError, UnknownNameError
from slimtune.results.files import atomic_write
from slimtune.results.finals import FOLDER as FINALS
from slimtune.results.plots import spread_figure
from slimtune.results.run import Run
from slimtune.results.summary import summarise, summary_table
from slimtune.results.tables import front_json, front_table
from slimtune.search.config import SearchConfig
from slimtune.search.resume import recorded_settings
from slimtune.search.search import run_search

EPILOG = "Example: slimtune search --model resnet20 --weights w.th --data parquet:DIR --out runs/a"


@click.command("search", epilog=EPILOG)
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="YAML file of settings.")
@click.option("--preset", metavar="NAME", help="Start from a ready-made search, such as demo.")
@click.option(
    "--model", metavar="REF", help="Network: a zoo name, torchvision:NAME, FILE.py:NAME..."
)
@click.option("--weights", metavar="FILE", help="Trained weights; without, the model is trained.")
@click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME...")
@click.option("--teacher", metavar="REF", help="Network that teaches; default: the baseline.")
@click.option("--teacher-weights", metavar="FILE", help="Its weights; without, it is trained.")
@click.option("--trials", type=IntRange(min=1), metavar="N", help="How many recipes to try.")
@click.option("--epochs", type=IntRange(min=0), metavar="N", help="Epochs of each fine-tuning.")
@steering_options
@click.option("--seed", type=IntRange(min=0), metavar="N", help="Fixes every random choice.")
@click.option("--concurrency", type=IntRange(min=1), metavar="N", help="Trials at a time.")
@per_trial_options
@click.option("--no-ray", is_flag=True, help="Run trials one after another, in this process.")
@click.option("--ray-address", metavar="ADDRESS", help="Use a running Ray cluster, such as auto.")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="NAME",
    help="Repeat; two at least. Own: FILE.py:f1:maximize.",
)
@click.option(
    "--validation-source",
    type=click.Choice(["auto", "train", "test"]),
    help="Where the images come from that trials are selected on.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting by its dotted name, the value as YAML; repeat for more.",
)
@click.option(
    "--log-to",
    type=click.Choice(["tensorboard", "mlflow", "wandb"]),
    multiple=True,
    help="Log finished trials there as well; repeat for more.",
)
@click.option("--out", type=Path, metavar="DIR", help="New folder of the run; default runs/NAME.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Go on with RUN, or with the run in --out if there is one.",
)
@click.option("--print-config", is_flag=True, help="Print the merged settings as YAML and stop.")
@allow_code_option
@click.option("--dry-run", is_flag=True, help="Check everything, say what it will cost, and stop.")
@json_option
@click.pass_obj
def command(
    state: State,
    /,
    file: Path | None,
    preset: str | None,
    assignments: tuple[str, ...],
    out: Path | None,
    resume: str | None,
    print_config: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Search for small, fast versions of a model.

    An option counts before --set, --set before the config file, the file before the preset.
    Prints the Pareto front; the run folder holds a model.onnx for every trial.
    """
    run = _run_to_resume(out, resume)
    recorded = {} if run is None else recorded_settings(run)
    config = search_config(_dotted(options), assignments, file, preset, recorded)
    if print_config:
        settings = config.model_dump(mode="json", exclude_none=True)
        click.echo(dump_yaml(settings), nl=False)
        return
    if dry_run:
        show_dry_run(state, config, out, resumed=run is not None)
        return
    out = run or out or free_folder(preset or f"{config.model}-{config.data}")
    run_and_show(state, config, out, resume=run is not None)


def _run_to_resume(out: Path | None, resume: str | None) -> Path | None:
    """Return the folder that ``--resume`` means; None if it is not given.

    ``--resume RUN`` needs a run that has begun, for it may be all that is given; ``--out RUN
    --resume`` is given in every start of a search that may be stopped, the first one too.
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
            f"{resume!r} is not a slimtune run (no run.json); to start it, or one that was "
            f"stopped before it had a baseline, give all settings, --out {resume} and --resume"
        )
    return run


def run_and_show(state: State, config: SearchConfig, out: Path, resume: bool = False) -> None:
    """Run the search with progress on standard error and the front on standard output.

    Raises:
        SlimtuneError: as `run_search`.
    """
    state.run = out
    if state.json:
        _run_and_tell(config, out, resume)
        return
    log = log_console(state)
    started = time.monotonic()
    with Progress(log, out, verbose=state.verbosity > 0) as progress:
        run = run_search(config, out, progress, resume=resume)
    if config.summary:
        _show_summary(state, run, config)
    result_console(state).print(front_table(run))
    log.print(_summary(run, time.monotonic() - started), soft_wrap=True, markup=False)
    for line in _next_commands(run):
        log.print(line, soft_wrap=True, markup=False)


def _run_and_tell(config: SearchConfig, out: Path, resume: bool) -> None:
    """Run the search; every event, and the front in the end, is a line of JSON."""
    tell = JsonEvents()
    run = run_search(config, out, tell, resume=resume)
    tell("front", {"run": str(run.path), "members": json.loads(front_json(run))})


def _show_summary(state: State, run: Run, config: SearchConfig) -> None:
    """Print the table of all pipelines, and draw their spread where seeds repeat them."""
    log = log_console(state)
    try:
        table = summarise(run, config.summary)
    except UnknownNameError as error:  # the search is done: a wrong column must not hide its front
        log.print(f"warning: no summary: {error}", soft_wrap=True, markup=False)
        return
    result_console(state).print(summary_table(table))
    result_console(state).print()
    if len(config.seeds) > 1:
        figure = run.path / "summary.png"
        atomic_write(figure, spread_figure(run))
        log.print(f"mean and spread over the seeds: {figure}", soft_wrap=True, markup=False)


def free_folder(name: str) -> Path:
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
        **{setting: options[name] for name, setting in STEERING.items()},
        **{setting: options[name] for name, setting in PER_TRIAL.items()},
        "objectives": options["objectives"] or None,
        "log_to": options["log_to"] or None,
        "executor": "inline" if options["no_ray"] else None,
        "validation.source": options["validation_source"],
        "space.train.epochs": options["epochs"],
    }


def _summary(run: Run, seconds: float) -> str:
    """Return how long it took and what became of the trials."""
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
        text += f" · {reused} began with a stage of another trial"
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
    """Return what to type next; the second with a limit that this front can keep."""
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
