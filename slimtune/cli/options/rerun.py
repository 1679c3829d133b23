"""The options of ``slimtune rerun``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from slimtune.cli.options.allow_code import allow_code_option
from slimtune.cli.state import State

EPILOG = "Example: slimtune rerun runs/demo --trial 5 --pdb"

STAGES = ("train", "quantize")
"""The keys of `slimtune.search.review.single.BEFORE`, which imports torch."""


@click.command("rerun", epilog=EPILOG)
@click.argument("run", type=Path)
@click.option("--trial", type=click.IntRange(min=0), metavar="N", help="Number of the trial.")
@click.option("--final", metavar="NAME", help="Repeat a final instead, such as 0017-e30-r0.")
@click.option(
    "--check", is_flag=True, help="Compare its files bit for bit; exit 1 if any differs."
)
@click.option("--pdb", "debugger", is_flag=True, help="Open the debugger where the trial fails.")
@click.option("--ray", is_flag=True, help="Run it in a Ray worker of this machine.")
@click.option(
    "--from-stage",
    type=click.Choice(STAGES),
    help="Start at this stage; the result of the earlier ones comes from the run's stage store.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe first, such as prune.amount=0.4; repeat for more.",
)
@allow_code_option
@click.pass_obj
def command(state: State, /, **given: Any) -> int:
    """Repeat one trial, or one final, of RUN as it was recorded: recipe, seeds, device.

    Every stage runs again in this process, unless --ray or --from-stage says otherwise. Nothing
    is written. Latency is measured again and shown, but never compared, because it depends on
    the machine.
    """
    return int(import_module("slimtune.cli.verbs.rerun").carry_out(state, **given))
