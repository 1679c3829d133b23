"""Measures an exported folder again, and compares it with the run's record."""

from dataclasses import dataclass
from pathlib import Path

from slimtune.compression.recipe import Recipe
from slimtune.compression.training.loop import network_logits
from slimtune.errors import SlimtuneError, UserError
from slimtune.measurement.accuracy import accuracy, check_parity, top1_agreement
from slimtune.measurement.runtime import predict
from slimtune.results.store.files import read_json
from slimtune.results.store.finals import what_ships
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import read_joint
from slimtune.results.store.record import TrialRecord
from slimtune.results.units import accuracy as accuracy_text
from slimtune.results.units import percent
from slimtune.search.saved import load_model
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import reopen_workload
from slimtune.search.trial.trial import PARITY_IMAGES
from slimtune.workload.own_code import is_allowed
from slimtune.workload.types import Workload


@dataclass(frozen=True)
class Check:
    """One repeated measurement.

    Attributes:
        what: the quantity, in words.
        found: what was measured now, in words.
        expected: the recorded value; empty if there is none.
        kept: whether the two agree.
    """

    what: str
    found: str
    expected: str
    kept: bool


def verify_export(run_folder: RunFolder, number: int, folder: Path) -> list[Check]:
    """Measure an exported folder on the run's own data.

    The accuracy of model.onnx on validation, and on test if it was measured there, must equal the
    recorded one to the last image: the file, the images and the arithmetic are the same. On
    another processor, integer kernels may round differently and an image may change its class;
    that is reported as a difference. The torch module, if there is one, must compute what the
    file computes, by the rule for every trial (`check_parity`). If the module was exported alone,
    it is compared with the file in the run.

    Args:
        run_folder: the run it came from.
        number: of the trial.
        folder: from `export_member`.

    Raises:
        RunError: the run's data has changed.
        UserError: the data cannot be read any more, or there is no file to compare the torch
            module with.
    """
    record, place = what_ships(run_folder, number)
    onnx: Path | bytes = folder / "model.onnx"
    if alone := not (folder / "model.onnx").is_file():
        onnx = _file_of_the_run(run_folder, record, place)
    workload = reopen_workload(run_folder, run_config(run_folder))
    joint = {row.trial: row for row in read_joint(run_folder.path)}.get(number)
    tested = joint.test_accuracy if joint else None
    accuracy_then = record.measured.get("accuracy")
    recorded = accuracy_then if isinstance(accuracy_then, float) else None
    checks = []
    if not alone:
        for name, expected in (("validation", recorded), ("test", tested)):
            split = workload.validation if name == "validation" else workload.test
            logits = predict(onnx, split.images, mean=workload.mean, std=workload.std)
            checks.append(_accuracy_check(name, accuracy(logits, split.labels), expected))
    if (folder / "model.safetensors").is_file():
        checks.append(_parity(folder, onnx, (record, place), workload))
    return checks


def _file_of_the_run(run_folder: RunFolder, record: TrialRecord, place: Path) -> bytes:
    """Return the run's model.onnx of a trial that was exported without one."""
    if not (place / "model.onnx").is_file():
        raise UserError(
            f"trial {record.number}: {place / 'model.onnx'} is gone, and a torch module is "
            "verified against it; restore the file from a copy, or "
            "export without --verify"
        )
    return run_folder.read_artifact(record, "model.onnx", place)


def _accuracy_check(split: str, found: float, expected: float | None) -> Check:
    return Check(
        f"{split} accuracy",
        accuracy_text(found),
        "" if expected is None else accuracy_text(expected),
        expected is None or found == expected,
    )


def _parity(
    folder: Path, onnx: Path | bytes, shipped: tuple[TrialRecord, Path], workload: Workload
) -> Check:
    """Compare the torch module with the file on some validation images.

    The code of a user's own network is not in the export; it is loaded from its own place.
    """
    record, place = shipped
    name = read_json(place / "model.json").get("architecture", {}).get("name")
    own = name if is_allowed(str(name)) else None
    images = workload.validation.images[:PARITY_IMAGES]
    file = predict(onnx, images, mean=workload.mean, std=workload.std)
    network = network_logits(load_model(folder, model=own), images, workload).numpy()
    quantize = Recipe.from_dict(record.recipe).quantize
    try:
        check_parity(network, file, quantized=quantize.activations != "float")
    except SlimtuneError as error:
        return Check("torch module", str(error), "as the file", False)
    agreement = top1_agreement(network, file)
    return Check("torch module", f"same class on {percent(agreement)}", "", True)
