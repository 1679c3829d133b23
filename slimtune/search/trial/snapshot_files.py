"""Snapshots: a student after a stage, as files from which a trial or ``--from-stage`` starts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimtune.compression.network.rebuild import resize_to
from slimtune.compression.pipeline import StudentState
from slimtune.compression.recipe import Recipe
from slimtune.compression.training.loop import Epoch
from slimtune.errors import ConfigError, ModelError, UserError, shortened
from slimtune.results.store.checkpoints import SUMS, read_with_sums
from slimtune.results.store.files import parse_json, read_bytes, read_json, sha256_bytes, to_json
from slimtune.workload.checkpoints import parse_weights, weights_bytes
from slimtune.workload.computed_weights import fold_computed_weights
from slimtune.workload.fingerprint import workload_fingerprint
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build

FILES = ("stage.json", "model.safetensors")


class SnapshotFiles:
    """Collects the snapshots of one `compress`, to be written beside its result.

    Args:
        recipe: being carried out.
        origin: from `snapshot_origin`.

    Attributes:
        folders: stage -> file name -> content.
    """

    def __init__(self, recipe: Recipe, origin: Mapping[str, Any]) -> None:
        self._recipe = recipe
        self._origin = dict(origin)
        self.folders: dict[str, dict[str, bytes]] = {}

    def keep(self, progress: StudentState) -> None:
        """Keep the student as it is now."""
        self.folders[progress.done] = snapshot_files(progress, self._recipe, self._origin)


def snapshot_files(
    progress: StudentState, recipe: Recipe, origin: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return a student as files (name to content) that `snapshot_from_files` can read.

    Args:
        progress: the student after a stage.
        recipe: that is being carried out.
        origin: what the student depends on beside the recipe.
    """
    description = {
        "schema": 1,
        "done": progress.done,
        "architecture": dataclasses.asdict(progress.architecture),
        "kept_channels": progress.kept,
        "history": [dataclasses.asdict(epoch) for epoch in progress.history],
        "recipe": carried_out(recipe.effective(), progress.done),
        "origin": dict(origin),
    }
    return {"stage.json": to_json(description), "model.safetensors": weights_bytes(progress.model)}


def read_snapshot(folder: Path, recipe: Recipe) -> StudentState:
    """Return the student that a folder holds.

    Args:
        folder: such as ``small/stages/prune``.
        recipe: to continue with; up to the saved stage it must equal the one that was used.

    Raises:
        UserError: the folder holds no snapshot, or the recipe begins differently; names the
            first difference.
        RunError: a file is damaged.
    """
    file = folder / "stage.json"
    if not file.is_file():
        raise UserError(f"{folder}: holds no saved stage (no stage.json); give DIR/stages/NAME")
    if (folder / SUMS).is_file():
        files = read_with_sums(folder)
    else:  # of an older slimtune
        files = {name: read_bytes(folder / name) for name in FILES if (folder / name).is_file()}
    return snapshot_from_files(files, recipe, folder)


def snapshot_from_files(files: Mapping[str, bytes], recipe: Recipe, folder: Path) -> StudentState:
    """Return the student that `snapshot_files` wrote.

    Args:
        files: file name to content.
        recipe: as in `read_snapshot`.
        folder: where they came from, for messages.

    Raises:
        UserError: as `read_snapshot`.
        RunError: stage.json is damaged.
    """
    file = folder / "stage.json"
    description = parse_json(files.get("stage.json", b""), file)
    try:
        done, architecture = description["done"], Architecture(**description["architecture"])
        history = [Epoch(**epoch) for epoch in description["history"]]
        kept, saved_recipe = description["kept_channels"], description["recipe"]
        if done not in ("prune", "train"):
            raise KeyError(done)
    except (KeyError, TypeError):
        raise ModelError(f"{file}: describes no stage; save it again with compress") from None
    if recipe.order != "ppq":
        raise ConfigError("order: spq has no stages to continue from; use order ppq")
    _check_same(carried_out(recipe.effective(), done), saved_recipe, file)
    weights = parse_weights(files.get("model.safetensors", b""), folder / "model.safetensors")
    model = resize_to(fold_computed_weights(build(architecture)), weights).eval()
    return StudentState(done, model, architecture, kept, history)


def snapshot_origin(workload: Workload, seed: int) -> dict[str, Any]:
    """Return what a snapshot depends on beside its recipe: seed, data, augmentation, networks."""
    teacher = workload.teacher
    return {
        "model": workload.architecture.name,
        "seed": seed,
        "data": workload_fingerprint(workload),
        "augmentation": dataclasses.asdict(workload.augmentation),
        "baseline": sha256_bytes(weights_bytes(workload.baseline)),
        "teacher": None if teacher is None else sha256_bytes(weights_bytes(teacher)),
    }


def check_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    """Check that a snapshot was made from this baseline and data, with this seed.

    Raises:
        ConfigError: something differs; names the first difference.
        RunError: stage.json is damaged.
    """
    file = folder / "stage.json"
    _check_same(dict(origin), read_json(file).get("origin", {}), file)


def carried_out(recipe: Recipe, done: str) -> dict[str, Any]:
    """Return the part of an effective recipe that decides the student after a stage.

    Args:
        recipe: its effective form, order ``ppq``.
        done: ``"prune"`` or ``"train"``.
    """
    whole = recipe.to_dict()
    taught = done == "train" or recipe.in_steps
    sparse = recipe.prune is not None and recipe.prune.method.sparsity_epochs > 0
    del whole["train"]["recalibrate"]  # acts at the end
    if done == "prune":
        del whole["train"]["epochs"]  # come after
    parts = ["student", "prune", *["distill"] * taught, *["train"] * (taught or sparse)]
    return {part: whole[part] for part in parts}


def _check_same(here: dict[str, Any], saved: dict[str, Any], file: Path, path: str = "") -> None:
    for key in [*here, *(saved.keys() - here.keys())]:
        dotted = f"{path}.{key}".lstrip(".")
        ours, theirs = here.get(key), saved.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            _check_same(ours, theirs, file, dotted)
        elif ours != theirs:
            raise ConfigError(
                f"{dotted}: is {shortened(ours)} here, but {file.parent} was made with "
                f"{shortened(theirs)}; make them equal, or start without --from-stage"
            )
