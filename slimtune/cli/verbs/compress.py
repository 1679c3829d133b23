"""``slimtune compress``: carry out one recipe on one model, without a search."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slimtune.cli.config.config_file import dump_yaml, load_yaml, with_location
from slimtune.cli.config.consent import check_consent
from slimtune.cli.config.settings import search_config
from slimtune.cli.screen import phrases
from slimtune.cli.screen.console import log_console, plain_table, result_console
from slimtune.cli.state import State
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.conditions import Conditions
from slimtune.errors import TrialError, UserError
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.store.checkpoints import with_sums
from slimtune.results.store.files import publish_tree, sha256_bytes
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import seal
from slimtune.results.units import UNSTABLE, plural, quantity, times
from slimtune.search.forecast.checks import check_recipe
from slimtune.search.forecast.given_weights import check_weights
from slimtune.search.forecast.training_precision import training_precision
from slimtune.search.review.once import compress_once
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import load_workload, train_missing
from slimtune.search.trial.snapshot_files import (
    SnapshotFiles,
    check_origin,
    read_snapshot,
    snapshot_origin,
)
from slimtune.search.trial.spec import Outcome
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload


def carry_out(
    state: State,
    /,
    *,
    file: Path,
    output: Path,
    preset: str | None,
    stage: Path | None,
    precision: str | None,
    **options: Any,
) -> None:
    """Carry out a recipe, write the model to a new folder, and print the measurements."""
    settings = {**options, "per_trial.precision": precision}
    config = search_config(settings, preset=preset).anchored()
    log = log_console(state)

    def tell(text: str) -> None:
        log.print(text, markup=False, soft_wrap=True)

    baseline, made = compress_into(config, read_recipe(file), output, stage=stage, tell=tell)
    _show(state, baseline, made)
    log.print(f"written to {output}", markup=False, soft_wrap=True)


def compress_into(
    config: SearchConfig,
    recipe: Recipe,
    output: Path,
    *,
    stage: Path | None,
    tell: Callable[[str], None],
) -> tuple[TrialRecord, TrialRecord]:
    """Carry out a recipe, write the model to a new folder, and return the measurements.

    Args:
        config: names model, data and training.
        recipe: what to do.
        output: the new folder.
        stage: folder of a saved stage to continue from; None to start at the beginning.
        tell: called with each note, warning and step that takes long.

    Returns:
        The records of the baseline and of the compressed model.

    Raises:
        UserError: bad input; it is checked before anything is trained.
        TrialError: the recipe failed while it was carried out.
    """
    _refuse_existing(output)
    saved = read_snapshot(stage, recipe) if stage is not None else None

    def warn(text: str) -> None:
        tell(f"warning: {text}")

    workload = load_workload(config, load_dataset(config.data), warn)
    for line in phrases.notes(workload.notes):
        tell(line)
    check_recipe(recipe, workload)
    numbers = training_precision(config, workload, [recipe.student])
    if numbers.note:
        tell(numbers.note)
    for check in check_weights(config, workload):
        if text := check.advice():
            warn(text)
    baseline = _baseline(tell, workload, config)
    origin = snapshot_origin(workload, config.seed)
    if stage is not None:
        check_origin(stage, origin)
    stages = SnapshotFiles(recipe, origin)
    made = compress_once(
        workload,
        recipe.to_dict(),
        Conditions(
            config.seed,
            precision=numbers.precision,
            views=config.per_trial.teacher_views,
        ),
        start=saved,
        keep=stages.keep,
    )
    made = _finished(made, "the recipe")
    if not publish_tree(output, _files(made, recipe, stages).items()):
        _refuse_existing(output)
    return baseline.payload, made.payload


def _files(made: Outcome, recipe: Recipe, stages: SnapshotFiles) -> dict[str, bytes]:
    hashes = {name: sha256_bytes(data) for name, data in made.files.items()}
    saved = {
        f"stages/{stage}/{name}": data
        for stage, files in stages.folders.items()
        for name, data in with_sums(files).items()
    }
    return {
        **made.files,
        "recipe.yaml": dump_yaml(recipe.to_dict()).encode(),
        "result.json": seal({**made.payload.to_dict(), "artifacts": hashes}),
        **saved,
    }


def read_recipe(file: Path) -> Recipe:
    """Read a recipe from a YAML file.

    Raises:
        UserError: there is no such file, or it breaks a rule; the message names file and line.
    """
    data, lines = load_yaml(file)
    check_consent(data, file, lines)
    try:
        return Recipe.from_dict(data)
    except UserError as error:
        raise with_location(error, file, lines) from None


def _baseline(tell: Callable[[str], None], workload: Workload, config: SearchConfig) -> Outcome:
    """Train the networks that have no weights, and measure the baseline as a trial is measured."""
    for name, weights in (
        (config.model, config.weights),
        (config.teacher, config.teacher_weights),
    ):
        if name is not None and weights is None:
            text = f"training {name} on {config.data}: {plural(config.baseline.epochs, 'epoch')}"
            tell(text)
    train_missing(workload, config, lambda what, epoch: None)
    untouched = Recipe(train=Train(epochs=0)).to_dict()
    return _finished(compress_once(workload, untouched, Conditions(config.seed)), "the baseline")


def _finished(outcome: Outcome, what: str) -> Outcome:
    if outcome.status == "failed":
        raise TrialError(f"{what} cannot be carried out: {outcome.payload.error}")
    return outcome


def _refuse_existing(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise UserError(f"{output} already exists; choose another --output")


def _show(state: State, baseline: TrialRecord, made: TrialRecord) -> None:
    console = result_console(state)
    console.print(made.pipeline, markup=False, soft_wrap=True)
    table = plain_table("", "", "baseline", "compressed", "ratio")
    for name, before in baseline.objectives.items():
        objective = OBJECTIVES[name]
        after = made.objectives[name]
        ratio = "" if name == "accuracy" or not after else times(before / after)
        if name == "latency_ms" and not (baseline.stable and made.stable):
            ratio = ""
            table.caption = UNSTABLE
        title = "validation accuracy" if name == "accuracy" else objective.title
        was, now = (quantity(objective, r.objectives[name], r.stable) for r in (baseline, made))
        table.add_row(title, was, now, ratio)
    console.print(table)
