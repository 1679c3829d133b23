"""Options for the resources of each trial: CPUs, a share of a GPU, time, number format."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

PER_TRIAL = {
    "cpus_per_trial": "per_trial.cpus",
    "gpus_per_trial": "per_trial.gpus",
    "trial_timeout": "per_trial.timeout",
    "precision": "per_trial.precision",
}
"""Option -> the setting that it sets."""

_Command = TypeVar("_Command", bound=Callable[..., Any])
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Number format of training. Default auto: bfloat16 where the machine gains from it.",
)
_OPTIONS = (
    click.option(
        "--cpus-per-trial",
        type=click.IntRange(min=1),
        metavar="N",
        help="CPUs and threads of one trial; default 1, the fastest if trials run in parallel.",
    ),
    click.option(
        "--gpus-per-trial",
        type=click.FloatRange(min=0, max=1),
        metavar="X",
        help="GPU, or share of one, per trial: with 0.25, four trials share a GPU. Default 0.",
    ),
    click.option(
        "--trial-timeout",
        metavar="TIME",
        help="End a trial that takes longer, such as 10m; it counts as failed.",
    ),
    precision_option,
)


def per_trial_options(command: _Command) -> _Command:
    """Add the options to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
