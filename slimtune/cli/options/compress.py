"""The options of ``slimtune compress``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from slimtune.cli.options.allow_code import allow_code_option
from slimtune.cli.options.networks import network_options
from slimtune.cli.options.per_trial import precision_option
from slimtune.cli.state import State

EPILOG = "Example: slimtune compress --recipe recipe.yaml --preset demo -o small"


@click.command("compress", epilog=EPILOG)
@click.option(
    "--recipe", "file", type=Path, required=True, metavar="FILE", help="YAML file of the recipe."
)
@network_options
@click.option("--preset", metavar="NAME", help="Take model, data and training from a preset.")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Seed of every random choice."
)
@precision_option
@click.option(
    "--from-stage",
    "stage",
    type=Path,
    metavar="DIR",
    help="Continue from a stage that an earlier compress saved, such as small/stages/prune.",
)
@click.option("-o", "--output", type=Path, required=True, metavar="DIR", help="New folder.")
@allow_code_option
@click.pass_obj
def command(state: State, /, **given: Any) -> None:
    """Prune, fine-tune, quantize, distill and export one model as a recipe says.

    The recipe file holds the stages student, prune, quantize, distill and train, and their
    order. `slimtune methods` shows what each stage can be. The network is saved after the stages
    prune and train, so that you can try another ending from there.
    """
    import_module("slimtune.cli.verbs.compress").carry_out(state, **given)
