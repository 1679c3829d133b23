"""``slimtune compress``: one recipe on one model, without a search."""

from pathlib import Path
from typing import Any

import click

from slimtune.cli import words
from slimtune.cli.config_file import dump_yaml, load_yaml, located
from slimtune.cli.consent import allow_code_option, check_consent
from slimtune.cli.console import log_console, plain_table, result_console
from slimtune.cli.settings import search_config
from slimtune.cli.state import State
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.errors import TrialError, UserError
from slimtune.results.files import publish_folder, to_json
from slimtune.results.record import TrialRecord
from slimtune.search.checks import check_recipe
from slimtune.search.config import SearchConfig
from slimtune.search.rerun import compress_once
from slimtune.search.setup import load_workload, train_missing
from slimtune.search.spec import Outcome
from slimtune.search.stage_files import StageFiles, check_origin, read_stage, stage_origin
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload

EPILOG = "Example: slimtune compress --recipe recipe.yaml --preset demo -o small"


@click.command("compress", epilog=EPILOG)
@click.option(
    "--recipe", "file", type=Path, required=True, metavar="FILE", help="YAML file of the recipe."
)
@click.option(
    "--model", metavar="REF", help="Network: a zoo name, torchvision:NAME, FILE.py:NAME..."
)
@click.option("--weights", metavar="FILE", help="Trained weights; without, the model is trained.")
@click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME...")
@click.option("--teacher", metavar="REF", help="Network that teaches; default: the baseline.")
@click.option("--teacher-weights", metavar="FILE", help="Its weights; without, it is trained.")
@click.option("--preset", metavar="NAME", help="Take model, data and training from a preset.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Fixes every random choice.")
@click.option(
    "--from-stage",
    "stage",
    type=Path,
    metavar="DIR",
    help="Go on from a stage that an earlier compress saved, such as small/stages/prune.",
)
@click.option("-o", "--output", type=Path, required=True, metavar="DIR", help="New folder.")
@allow_code_option
@click.pass_obj
def command(
    state: State,
    /,
    file: Path,
    output: Path,
    preset: str | None,
    stage: Path | None,
    **options: Any,
) -> None:
    """Prune, fine-tune, quantize, distill and export one model as a recipe says.

    The recipe file holds the stages student, prune, quantize, distill and train, and their
    order; `slimtune methods` shows what each can be. The network is saved after the stages
    prune and train, to try another end from there.
    """
    config = search_config(options, preset=preset).anchored()
    recipe = read_recipe(file)
    _refuse_existing(output)
    saved = read_stage(stage, recipe) if stage is not None else None
    workload = load_workload(config, load_dataset(config.data))
    check_recipe(recipe, workload)
    baseline = _baseline(state, workload, config)
    origin = stage_origin(workload, config.seed)
    if stage is not None:
        check_origin(stage, origin)
    stages = StageFiles(recipe, origin)
    made = compress_once(workload, recipe.to_dict(), config.seed, start=saved, keep=stages.keep)
    made = _finished(made, "the recipe")
    content = {
        **made.files,
        "recipe.yaml": dump_yaml(recipe.to_dict()).encode(),
        "result.json": to_json(made.payload.to_dict()),
    }
    if not publish_folder(output, content):
        _refuse_existing(output)
    for name, files in stages.folders.items():
        publish_folder(output / "stages" / name, files)
    _show(state, baseline.payload, made.payload)
    log_console(state).print(f"written to {output}", markup=False, soft_wrap=True)


def read_recipe(file: Path) -> Recipe:
    """Return the recipe that a YAML file holds.

    Raises:
        UserError: no such file, or no such recipe; the message names file and line.
    """
    data, lines = load_yaml(file)
    check_consent(data, file, lines)
    try:
        return Recipe.from_dict(data)
    except UserError as error:
        raise located(error, file, lines) from None


def _baseline(state: State, workload: Workload, config: SearchConfig) -> Outcome:
    """Train what has no weights, and measure the baseline as a trial would be."""
    for name, weights in (
        (config.model, config.weights),
        (config.teacher, config.teacher_weights),
    ):
        if name is not None and weights is None:
            text = f"training {name} on {config.data}: {config.baseline.epochs} epochs"
            log_console(state).print(text, markup=False)
    train_missing(workload, config, lambda what, epoch: None)
    untouched = Recipe(train=Train(epochs=0)).to_dict()
    return _finished(compress_once(workload, untouched, config.seed), "the baseline")


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
        after = made.objectives[name]
        ratio = "" if name == "accuracy" or not after else f"{before / after:.2f}×"
        title = "validation accuracy" if name == "accuracy" else name
        table.add_row(title, words.value(name, before), words.value(name, after), ratio)
    console.print(table)
