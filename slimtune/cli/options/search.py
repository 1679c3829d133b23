"""The options of ``slimtune search``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click import IntRange

from slimtune.cli.config.early import check_early
from slimtune.cli.options.allow_code import allow_code_option
from slimtune.cli.options.networks import network_options
from slimtune.cli.options.per_trial import per_trial_options
from slimtune.cli.options.steering import steering_options
from slimtune.cli.options.trial_count import TrialCount
from slimtune.cli.screen.console import json_option
from slimtune.cli.state import State

EPILOG = "Example: slimtune search --model resnet20 --weights w.th --data parquet:DIR --out runs/a"


@click.command("search", epilog=EPILOG)
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="YAML file with settings.")
@click.option("--preset", metavar="NAME", help="Start from a ready-made search, such as demo.")
@network_options
@click.option(
    "--trials",
    type=TrialCount(),
    metavar="N",
    help="How many recipes to try; +N with --resume: N more than the run was asked for.",
)
@click.option("--epochs", type=IntRange(min=0), metavar="N", help="Epochs of each fine-tuning.")
@steering_options
@click.option("--seed", type=IntRange(min=0), metavar="N", help="Seed of every random choice.")
@click.option(
    "--concurrency",
    type=IntRange(min=1),
    metavar="N",
    help="How many trials run at a time; default: as many as fit.",
)
@per_trial_options
@click.option("--no-ray", is_flag=True, help="Run trials one after another, in this process.")
@click.option("--ray-address", metavar="ADDRESS", help="Use a running Ray cluster, such as auto.")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="NAME",
    help="What to optimise; give at least two. Your own: FILE.py:f1:maximize.",
)
@click.option(
    "--validation-source",
    type=click.Choice(["auto", "train", "test"]),
    help="Where the validation images come from, which trials are selected on.",
)
@click.option(
    "--allow-weak-baseline",
    is_flag=True,
    default=None,
    help="Continue even if --weights are no better than guessing.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting by its dotted name, with its value as YAML; repeat for more.",
)
@click.option(
    "--log-to",
    type=click.Choice(["tensorboard", "mlflow", "wandb"]),
    multiple=True,
    help="Also log finished trials to this tracker; repeat for more.",
)
@click.option("--out", type=Path, metavar="DIR", help="New folder of the run; default runs/NAME.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Continue RUN, or the run in --out if there is one.",
)
@click.option("--print-config", is_flag=True, help="Print the merged settings as YAML and stop.")
@allow_code_option
@click.option("--dry-run", is_flag=True, help="Check everything, estimate the cost, and stop.")
@json_option
@click.pass_obj
def command(state: State, /, **given: Any) -> None:
    """Search for small, fast versions of a model.

    It prints the Pareto front. The run folder holds a model.onnx for every finished trial. If a
    setting is given more than once, an option wins over --set, --set over the config file, and
    the file over the preset.
    """
    run = None if given["resume"] is None else Path(given["resume"] or given["out"] or "")
    check_early(given["file"], run, given)
    import_module("slimtune.cli.verbs.search").carry_out(state, **given)
