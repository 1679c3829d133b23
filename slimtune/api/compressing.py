"""`slimtune.compress`: carry out one recipe on one model, without a search."""

from __future__ import annotations  # help() then shows `Data`, not its long definition

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from slimtune.api.arguments import Data, Model, Weights, stages_of, to_settings
from slimtune.api.screen import console_for, line_writer, show_decoding
from slimtune.cli.verbs.compress import compress_into, read_recipe
from slimtune.compression.recipe import Recipe
from slimtune.results.reprs import record_words
from slimtune.results.store.record import TrialRecord
from slimtune.search.saved import load_model
from slimtune.search.settings.config import make_config


@dataclass(frozen=True, repr=False)
class CompressedModel:
    """The result of `compress`.

    Attributes:
        path: the folder with model.onnx, the weights and the recipe.
        record: the recipe and the measurements of the compressed model.
        baseline: the measurements of the model before.
    """

    path: Path
    record: TrialRecord
    baseline: TrialRecord

    def load(self) -> nn.Module:
        """Return the model as a torch module in eval mode; see `slimtune.load_model`."""
        return load_model(self.path)

    def __repr__(self) -> str:
        """Return path, pipeline and measurements in one line."""
        before, after = record_words(self.baseline), record_words(self.record)
        return f"<CompressedModel {self.path}: {self.record.pipeline}; {after}; before: {before}>"


def compress(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *,
    out: str | Path,
    model: Model | None = None,
    weights: Weights | None = None,
    data: Data | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    teacher: Model | None = None,
    teacher_weights: Weights | None = None,
    validation: Mapping[str, Any] | None = None,
    baseline: Mapping[str, Any] | None = None,
    per_trial: Mapping[str, Any] | None = None,
    seed: int | None = None,
    preset: str | None = None,
    from_stage: str | Path | None = None,
    quiet: bool = False,
) -> CompressedModel:
    """Carry out one recipe on one model, as ``slimtune compress`` does, without a search.

    None means that an argument is not given: the preset's value or the default is used. `search`
    describes in more detail the arguments that both have.

    Args:
        recipe: a `Recipe`; its stages, such as ``{"prune": {"method": "l1", "amount": 0.5}}``; or
            the path of a YAML file with the stages.
        out: new folder for model.onnx, the weights, the recipe and the measurements.
        model: the network: a trained module, a class or function that makes one, or a reference.
            Default ``"resnet20"``.
        weights: the model's weights: a file or a state dict. Default: the model is trained first.
        data: arrays, torch datasets, a `slimtune.Dataset`, a function that returns one of them,
            or a reference. Default ``"cifar10"``.
        preprocessing: ``{"mean": M, "std": S}`` of pixels scaled to 0..1.
        teacher: the network that the student learns from. Default: the baseline.
        teacher_weights: the teacher's weights. Default: the teacher is trained first.
        validation: where the validation images come from: ``source`` and ``fraction``.
        baseline: how the baseline is trained: ``epochs``, ``lr``, ``batch_size``,
            ``weight_decay``.
        per_trial: ``precision`` and ``teacher_views``.
        seed: seed of every random choice, 0..2**31-1. Default 0.
        preset: name of a ready-made search whose model, data and training are used.
        from_stage: continue from a stage that an earlier call saved, such as
            ``out/stages/prune``.
        quiet: show no progress.

    Returns:
        The folder and the measurements, before and after.

    Raises:
        UserError: ``out`` exists, a setting breaks a rule, or the recipe does not fit the network
            or the data. This is checked before anything is trained.
        TrialError: the recipe failed while it was carried out.
    """
    arguments = {name: value for name, value in locals().items() if name in _SETTINGS}
    console, folder = console_for(quiet), Path(out)
    stage = None if from_stage is None else Path(from_stage)
    with show_decoding(console):
        config = make_config(to_settings(arguments), preset).anchored()
        before, after = compress_into(
            config, _recipe(recipe), folder, stage=stage, tell=line_writer(console)
        )
    return CompressedModel(folder, after, before)


_SETTINGS = (
    "model", "weights", "data", "preprocessing", "teacher", "teacher_weights", "validation",
    "baseline", "per_trial", "seed",
)  # fmt: skip
"""The settings of a search that also apply to one recipe."""


def _recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        to_settings({"space": recipe})  # the call is the consent to run code
        return Recipe.from_dict(dict(stages_of(recipe)))
    return read_recipe(Path(recipe))
