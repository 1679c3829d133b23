"""Handing a member of a front over: a folder that can leave the run, checked on the way out."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import yaml

from slimtune.errors import UserError
from slimtune.results.files import publish_folder, to_json
from slimtune.results.final import read_final
from slimtune.results.finals import what_ships
from slimtune.results.folder import RunFolder
from slimtune.results.record import TrialRecord

_COPIED = ("model.onnx", "model.safetensors", "model.json")
_LABELS = ("classes", "mean", "std", "image_shape")


def export_member(run_folder: RunFolder, number: int, out: str | Path) -> Path:
    """Copy a trial's model, and what is needed to use and to repeat it, into a new folder.

    The folder holds model.onnx, model.safetensors and model.json (those the trial made),
    recipe.yaml, metrics.json, and labels.json with the class names and the normalisation.
    It appears in one rename, and only after every SHA-256 has been checked. Of a trial that was
    run again at full length, the final that ships is copied.

    Args:
        run_folder: the run.
        number: a complete trial with a model.onnx.
        out: a folder that does not exist, or is empty.

    Returns:
        The folder.

    Raises:
        UserError: no such trial, one without a model as it failed or was stopped, or ``out`` is
            taken.
        RunError: a file differs from what the trial wrote, is a link, or the disk refuses.
    """
    record, place = what_ships(run_folder, number)
    if record.status != "complete":
        raise UserError(unfinished_message(run_folder.path, record))
    target = _free_folder(Path(out))
    names = [name for name in _COPIED if name in record.artifacts or name == "model.onnx"]
    files = {name: run_folder.read_artifact(record, name, place) for name in names}
    recipe = yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True)
    files["recipe.yaml"] = recipe.encode()
    files["metrics.json"] = to_json(_metrics(run_folder, record))
    workload = run_folder.manifest["workload"]
    files["labels.json"] = to_json({key: workload[key] for key in _LABELS if key in workload})
    if not publish_folder(target, files):
        raise UserError(_taken(target))
    return target


def unfinished_message(run: Path, record: TrialRecord) -> str:
    """Return the line that tells why a trial has no model, and how to run it again."""
    if record.status == "stopped":
        return (
            f"trial {record.number} was stopped early and has no model ({record.error}); "
            f"slimtune rerun {run} --trial {record.number} runs it to its end"
        )
    return (
        f"trial {record.number} failed: {record.error or 'no reason was recorded'}; "
        f"see slimtune rerun {run} --trial {record.number}"
    )


def _free_folder(out: Path) -> Path:
    if out.is_symlink():
        raise UserError(f"{out} is a symbolic link; give the folder itself")
    target = out.resolve()
    if target == Path.cwd():
        # It would be replaced, and the shell would be left standing in a deleted folder.
        raise UserError(f"{out} is the current folder; name a new one, such as deploy")
    if target.is_dir() and not os.access(target, os.R_OK | os.X_OK):
        raise UserError(f"{out} cannot be read; choose another folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(_taken(out))
    return target


def _taken(out: Path) -> str:
    return f"{out} already exists and is not an empty folder; choose another one"


def _metrics(run_folder: RunFolder, record: TrialRecord) -> dict[str, Any]:
    final = next((row for row in read_final(run_folder.path) if row.trial == record.number), None)
    return {
        "trial": record.number,
        "pipeline": record.pipeline,
        "seed": record.seed,
        "objectives": record.objectives,
        "metrics": record.metrics,
        "final": dataclasses.asdict(final) if final else None,
        "sha256": record.artifacts,
        "host": record.host,
    }
