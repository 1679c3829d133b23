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
from slimtune.cli.screen.console import json_option
from slimtune.cli.state import State

EPILOG = "Example: slimtune search --model resnet20 --weights w.th --data parquet:DIR --out runs/a"


@click.command("search", epilog=EPILOG)
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="YAML file of settings.")
@click.option("--preset", metavar="NAME", help="Start from a ready-made search, such as demo.")
@network_options
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
    "--allow-weak-baseline",
    is_flag=True,
    default=None,
    help="Go on with given weights that do no better than guessing.",
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
def command(state: State, /, **given: Any) -> None:
    """Search for small, fast versions of a model.

    An option counts before --set, --set before the config file, the file before the preset.
    Prints the Pareto front; the run folder holds a model.onnx for every trial.
    """
    run = None if given["resume"] is None else Path(given["resume"] or given["out"] or "")
    check_early(given["file"], run, given)
    import_module("slimtune.cli.verbs.search").carry_out(state, **given)
