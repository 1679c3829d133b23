"""Options that steer a search: its sampler, its limits, and when it ends."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

STEERING = {
    "sampler": "sampler",
    "max_latency": "constraints.max_latency",
    "min_accuracy": "constraints.min_accuracy",
    "max_size": "constraints.max_size",
    "time_budget": "time_budget",
    "stop_when_flat": "stop_when_flat",
    "stopping": "stopping",
    "final_epochs": "final.epochs",
    "repeats": "final.repeats",
}
"""Option -> the setting that it sets."""

SAMPLERS = ("tpe", "nsga2", "nsga3", "random", "grid", "qmc")
"""The samplers of `slimtune.search.proposing.samplers`, which imports Optuna."""

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--sampler",
        type=click.Choice(SAMPLERS),
        help="What proposes recipes: a model of the results (tpe), a genetic algorithm (nsga2, "
        "nsga3), chance (random, or qmc, which spreads evenly), or the full list (grid).",
    ),
    click.option(
        "--max-latency", metavar="TIME", help="Highest latency of an answer: 2ms, 0.5x or -20%."
    ),
    click.option(
        "--min-accuracy",
        metavar="X",
        help="Lowest validation accuracy of an answer: 0.9, or -1% for one point less.",
    ),
    click.option(
        "--max-size", metavar="SIZE", help="Largest file of an answer: 500KiB, 0.25x or -20%."
    ),
    click.option(
        "--time-budget",
        metavar="TIME",
        help="Start no trial after this time, such as 10m; running trials finish.",
    ),
    click.option(
        "--stop-when-flat",
        type=click.IntRange(min=1),
        metavar="N",
        help="Stop when N trials in a row added no hypervolume.",
    ),
    click.option(
        "--stopping/--no-stopping",
        default=None,
        help="Stop trials that cannot join the front; default: yes, but not in a grid.",
    ),
    click.option(
        "--final-epochs",
        type=click.IntRange(min=1),
        metavar="N",
        help="At the end, run the members of the front again with every fine-tune lengthened from "
        "--epochs to N; the results are what ships.",
    ),
    click.option(
        "--repeats",
        type=click.IntRange(min=1),
        metavar="K",
        help="Run the members again with K seeds each, show mean and spread; the median ships.",
    ),
)


def steering_options(command: _Command) -> _Command:
    """Add the options to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
