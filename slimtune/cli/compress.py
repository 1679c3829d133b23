"""``slimtune compress``: one recipe on one model, without a search."""

from pathlib import Path
from typing import Any

import click

from slimtune.cli import words
from slimtune.cli.config_file import dump_yaml, load_yaml, located
from slimtune.cli.console import log_console, plain_table, result_console
from slimtune.cli.settings import search_config
from slimtune.cli.state import State
from slimtune.compression.recipe import Recipe, Train
from slimtune.errors import TrialError, UserError
from slimtune.results.files import publish_folder, to_json
from slimtune.results.record import TrialRecord
from slimtune.search.config import SearchConfig
from slimtune.search.rerun import compress_once
from slimtune.search.setup import load_workload, train_baseline
from slimtune.search.spec import Outcome
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload

EPILOG = "Example: slimtune compress --recipe recipe.yaml --preset demo -o small"


@click.command("compress", epilog=EPILOG)
@click.option(
    "--recipe", "file", type=Path, required=True, metavar="FILE", help="YAML file of the recipe."
)
@click.option("--model", metavar="REF", help="Network: a zoo name or torchvision:NAME.")
@click.option("--weights", metavar="FILE", help="Trained weights; without, the model is trained.")
@click.option("--data", metavar="REF", help="digits, cifar10, cifar100, parquet:DIR, folder:DIR.")
@click.option("--preset", metavar="NAME", help="Take model, data and training from a preset.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Fixes every random choice.")
@click.option("-o", "--output", type=Path, required=True, metavar="DIR", help="New folder.")
@click.pass_obj
def command(state: State, /, file: Path, output: Path, preset: str | None, **options: Any) -> None:
    """Prune, fine-tune, quantize, distill and export one model as a recipe says.

    The recipe file holds the stages prune, quantize, distill and train; `slimtune methods` shows
    what each can be.
    """
    recipe = read_recipe(file)
    config = search_config(options, preset=preset)
    _refuse_existing(output)
    workload = load_workload(config, load_dataset(config.data))
    baseline = _baseline(state, workload, config)
    made = _finished(compress_once(workload, recipe.to_dict(), config.seed), "the recipe")
    content = {
        **made.files,
        "recipe.yaml": dump_yaml(recipe.to_dict()).encode(),
        "result.json": to_json(made.payload.to_dict()),
    }
    if not publish_folder(output, content):
        _refuse_existing(output)
    _show(state, baseline.payload, made.payload)
    log_console(state).print(f"written to {output}", markup=False, soft_wrap=True)


def read_recipe(file: Path) -> Recipe:
    """Return the recipe that a YAML file holds.

    Raises:
        UserError: no such file, or no such recipe; the message names file and line.
    """
    data, lines = load_yaml(file)
    try:
        return Recipe.from_dict(data)
    except UserError as error:
        raise located(error, file, lines) from None


def _baseline(state: State, workload: Workload, config: SearchConfig) -> Outcome:
    """Train the baseline if it has no weights, and measure it as a trial would be."""
    if config.weights is None:
        text = f"training {config.model} on {config.data}: {config.baseline.epochs} epochs"
        log_console(state).print(text, markup=False)
        train_baseline(workload, config, lambda epoch: None)
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
    table = plain_table(made.pipeline, "", "baseline", "compressed", "ratio")
    for name, before in baseline.objectives.items():
        after = made.objectives[name]
        ratio = "" if name == "accuracy" or not after else f"{before / after:.2f}×"
        title = "validation accuracy" if name == "accuracy" else name
        table.add_row(title, words.value(name, before), words.value(name, after), ratio)
    result_console(state).print(table)
