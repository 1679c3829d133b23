"""Export a member of a front: write a folder that works without the run, after checking hashes."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import yaml

from slimtune.errors import UserError, did_you_mean
from slimtune.results.delivery.card import model_card
from slimtune.results.delivery.card_facts import MODES, CardFacts
from slimtune.results.delivery.portable import (
    portable_description,
    portable_pipeline,
    portable_recipe,
)
from slimtune.results.stop_reason import stopped_words
from slimtune.results.store.files import publish_folder, sha256_bytes, to_json
from slimtune.results.store.finals import what_ships
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, read_joint
from slimtune.results.store.record import TrialRecord

FORMATS = {"onnx": ("model.onnx",), "torch": ("model.safetensors", "model.json")}
"""Format of a delivered model -> its files."""

_LABELS = ("classes", "image_shape", "mean", "std")
_RESIZE = "BILINEAR"  # Pillow's name of what made the training images one size
_SHORTENED = "# Files are named without their folders: run this where they are, or say where.\n"


def export_member(
    run_folder: RunFolder,
    number: int,
    out: str | Path,
    formats: Sequence[str] = tuple(FORMATS),
) -> Path:
    """Copy a trial's model, with all that is needed to use and repeat it, into a new folder.

    The folder holds model.onnx and predict.py (``onnx``), model.safetensors and model.json
    (``torch``), as far as the trial has them; README.md, which is the model card; recipe.yaml;
    labels.json with the class names, the normalisation and how an image becomes an input;
    labels.txt, with one class per line; metrics.json; and SHA256SUMS of all files. The folder
    appears in one rename, after every SHA-256 has been checked. If the trial was run again at full
    length, the final that ships is copied. No file contains the user's folder names: see
    `results.delivery.portable`.

    Args:
        run_folder: the run.
        number: a complete trial with a model.onnx.
        out: a folder that does not exist, or is empty.
        formats: keys of `FORMATS`, at least one.

    Returns:
        The folder.

    Raises:
        UserError: there is no such trial, it failed or was stopped, or ``out`` is not empty.
        RunError: a file differs from what the trial wrote, is a link, or the disk refuses.
    """
    check_formats(formats)
    target = output_folder(Path(out))
    if not publish_folder(target, member_files(run_folder, number, formats)):
        raise UserError(_taken(target))
    return target


def member_files(run_folder: RunFolder, number: int, formats: Sequence[str]) -> dict[str, bytes]:
    """Return the files that `export_member` writes: file name -> content.

    Raises:
        UserError: no such trial, or one without a model.
        RunError: a file differs from what the trial wrote, or is a link.
    """
    record, place = what_ships(run_folder, number)
    if record.status != "complete":
        raise UserError(unfinished_message(run_folder.path, record))
    wanted = [name for form in FORMATS for name in FORMATS[form] if form in formats]
    there = [name for name in wanted if name in record.artifacts or name == "model.onnx"]
    files = {name: run_folder.read_artifact(record, name, place) for name in there}
    if "model.json" in files:
        files["model.json"] = portable_description(files["model.json"])
    files["recipe.yaml"] = _recipe_file(record).encode()
    joint = {row.trial: row for row in read_joint(run_folder.path)}
    metrics = _metrics(record, joint.get(record.number))
    hashes = {name: sha256_bytes(files[name]) for name in record.artifacts if name in files}
    files["metrics.json"] = to_json({**metrics, "sha256": {**record.artifacts, **hashes}})
    files |= _input_files(run_folder.manifest["workload"], "model.onnx" in files)
    facts = CardFacts(
        record=record,
        manifest=run_folder.manifest,
        baseline=_baseline(run_folder),
        run=run_folder.path.absolute().name,
        joint=joint.get(record.number),
        baseline_joint=joint.get(None),
        files=tuple(files),
    )
    files["README.md"] = model_card(facts).encode()
    sums = (f"{sha256_bytes(files[name])}  {name}\n" for name in sorted(files))
    return {**files, "SHA256SUMS": "".join(sums).encode()}


def check_formats(formats: Sequence[str]) -> None:
    """Refuse unknown formats.

    Raises:
        UserError: none is given, or one is unknown.
    """
    choices = ", ".join(FORMATS)
    if not formats:
        raise UserError(f"formats: give at least one of {choices}")
    for name in formats:
        if name not in FORMATS:
            guess = did_you_mean(name, FORMATS)
            raise UserError(f"formats: unknown format '{name}'.{guess} Choose from {choices}.")


def _input_files(workload: Mapping[str, Any], runs: bool) -> dict[str, bytes]:
    """Return the files that say how an image becomes an input, and a logit a class name."""
    labels = {key: workload[key] for key in _LABELS if key in workload}
    channels = labels["image_shape"][0] if "image_shape" in labels else 0
    if channels in MODES:
        labels |= {"mode": MODES[channels], "resize": _RESIZE}
    found = {"labels.json": to_json(labels)}
    if "classes" in labels:
        lines = (" ".join(str(name).split()) for name in labels["classes"])
        found["labels.txt"] = ("\n".join(lines) + "\n").encode()
    if runs and channels in MODES and "classes" in labels:
        script = resources("slimtune.results.delivery").joinpath("predict.py.txt")
        found["predict.py"] = script.read_bytes()
    return found


def _baseline(run_folder: RunFolder) -> dict[str, Any]:
    measured = (run_folder.path / "baseline" / "result.json").is_file()
    return run_folder.baseline() if measured else {}


def unfinished_message(run: Path, record: TrialRecord) -> str:
    """Return one line: why a trial has no model, and how to run it again."""
    if record.status == "stopped":
        return (
            f"trial {record.number} has no model: it was {stopped_words(record.error)}; "
            f"slimtune rerun {run} --trial {record.number} runs it to its end"
        )
    return (
        f"trial {record.number} failed: {record.error or 'no reason was recorded'}; "
        f"see slimtune rerun {run} --trial {record.number}"
    )


def output_folder(out: Path) -> Path:
    """Return the folder ``out``, after checking that nothing would be overwritten.

    Raises:
        UserError: it is a link or the current folder, or it is not empty.
    """
    if out.is_symlink():
        raise UserError(f"{out} is a symbolic link; give the folder itself")
    target = out.resolve()
    if target == Path.cwd():
        # It would be replaced, and the user's shell would be in a deleted folder.
        raise UserError(f"{out} is the current folder; name a new one, such as deploy")
    if target.is_dir() and not os.access(target, os.R_OK | os.X_OK):
        raise UserError(f"{out} cannot be read; choose another folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(_taken(out))
    return target


def _taken(out: Path) -> str:
    return f"{out} already exists and is not an empty folder; choose another one"


def _recipe_file(record: TrialRecord) -> str:
    recipe = portable_recipe(record.recipe)
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    return text if recipe == record.recipe else _SHORTENED + text


def _metrics(record: TrialRecord, joint: JointRow | None) -> dict[str, Any]:
    return {
        "trial": record.number,
        "pipeline": portable_pipeline(record.pipeline, record.recipe),
        "seed": record.conditions.seed,
        "objectives": record.objectives,
        "metrics": record.metrics,
        "final": dataclasses.asdict(joint) if joint else None,
        "host": record.host,
    }
