"""``slimtune search --dry-run``: print what a search would do and cost, as text or JSON."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import click

from slimtune.cli.screen import phrases
from slimtune.cli.screen.console import log_console
from slimtune.cli.screen.steps import Steps
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.results.store.folder import refuse_existing
from slimtune.results.units import duration, plural, room, times
from slimtune.search.facts import normalisation_words
from slimtune.search.forecast.dry_run import DryRun, dry_run
from slimtune.search.forecast.estimate import TOGETHER, Estimate, Sample
from slimtune.search.settings.config import SearchConfig


def show_dry_run(state: State, config: SearchConfig, out: Path | None, *, resumed: bool) -> None:
    """Print the size of the space, the first recipes, and the cost in time and disk.

    Args:
        state: the global options.
        config: the search's config.
        out: the run folder, if it was given.
        resumed: whether the search would resume a run, which is refused.

    Raises:
        UserError: bad input, as of the search itself.
        SlimtuneError: the cluster cannot be reached.
        UsageError: ``resumed``.
    """
    if resumed:
        raise click.UsageError("--dry-run looks at a new search; leave --resume out.")
    if out is not None:
        refuse_existing(out)
    log = log_console(state)
    with Steps(log, "measuring trials on a part of the data") as steps:
        counter = itertools.count(1)

        def tell(sample: Sample) -> None:
            outcome = f"failed: {sample.failed}" if sample.failed else duration(sample.seconds)
            epochs = plural(sample.epochs, "epoch")
            steps(f"measured trial {next(counter)}, of {epochs}: {outcome}")

        found = dry_run(config, tell)
    if state.json:
        echo(json.dumps(dry_run_facts(config, found), indent=2))
        return
    for line in dry_run_lines(config, found):
        echo(phrases.encodable(line))


def dry_run_lines(config: SearchConfig, found: DryRun) -> list[str]:
    """Return what `show_dry_run` prints, line by line."""
    channels, height, width = found.workload.image_shape
    lines = [
        f"data      {found.workload.dataset} · {len(found.workload.classes)} classes · "
        f"{channels}×{height}×{width} · train {len(found.workload.train)}, validation "
        f"{len(found.workload.validation)}, test {len(found.workload.test)} · normalised by "
        f"{normalisation_words(found.workload)}",
        *phrases.notes(found.workload.notes),
        *(f"warning: {text}" for text in found.warnings),
        f"search    {config.model} · {found.estimate.trials} trials × {found.estimate.workers} "
        f"workers · {config.sampler} · seed {config.seed}",
        f"space     {found.size}",
    ]
    for number, recipe in enumerate(found.first):
        lines.append(f"{'first' if number == 0 else '':<9} trial {number}: {recipe.describe()}")
    return lines + _cost_lines(config, found.estimate)


def dry_run_facts(config: SearchConfig, found: DryRun) -> dict[str, Any]:
    """Return what `show_dry_run` prints as JSON: times in seconds, sizes in bytes."""
    workload, cost = found.workload, found.estimate
    return {
        "data": workload.dataset,
        "image_shape": list(workload.image_shape),
        "normalisation": normalisation_words(workload),
        "warnings": list(found.warnings),
        "classes": len(workload.classes),
        "images": {name: len(getattr(workload, name)) for name in ("train", "validation", "test")},
        "notes": list(workload.notes),
        "model": config.model,
        "sampler": config.sampler,
        "seed": config.seed,
        "space": dataclasses.asdict(found.size),
        "first": [recipe.to_dict() for recipe in found.first],
        "estimate": dataclasses.asdict(cost),
        "time_budget": config.time_budget,
    }


def _cost_lines(config: SearchConfig, cost: Estimate) -> list[str]:
    seconds = sorted(sample.seconds for sample in cost.samples)
    part = "all" if cost.images == cost.of_images else f"{cost.images} of {cost.of_images}"
    side = f" ({times(TOGETHER)} that if trials run in parallel)" if cost.workers > 1 else ""
    finals = ""
    if cost.finals:
        finals = (
            f" and {duration(cost.final)} for {cost.finals} finals, of the "
            f"{cost.finals // config.final.seeds} members that the front may have"
        )
    lines = [
        f"trial     about {duration(cost.trial)}, from {duration(seconds[0])} to "
        f"{duration(seconds[-1])}: measured on {len(seconds)} drawn recipes with 1 epoch "
        f"per stage on {part} training images, scaled to all epochs and images{side}",
        f"time      about {duration(cost.search)}, of which {duration(cost.baseline)} "
        f"for the baseline{finals}; it changes when the machine gets busier or quieter",
        f"disk      about {room(cost.size)}",
    ]
    if cost.device != (wanted := config.per_trial.device):
        lines.append(
            f"device    times are those of this machine's {cost.device.upper()}: trials ask for "
            f"{wanted}, which this machine lacks"
        )
    if config.time_budget is not None:
        lines.append(f"budget    no trial starts after {config.time_budget}")
    failed = [sample.failed for sample in cost.samples if sample.failed]
    if failed:
        lines.append(f"failed    {len(failed)} of these {len(seconds)}; the first: {failed[0]}")
    return [*lines, "nothing was written"]
