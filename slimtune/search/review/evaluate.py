"""Evaluates any file or checkpoint on any data that slimtune can read."""

from pathlib import Path
from typing import Any

from torch import nn

from slimtune.compression.training.loop import network_logits
from slimtune.errors import DataError
from slimtune.measurement.accuracy import accuracy
from slimtune.measurement.latency import measure_latency
from slimtune.measurement.runtime import predict, takes_pixels
from slimtune.results.interval import standard_error
from slimtune.results.store.folder import RunFolder
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import load_network, reopen_workload
from slimtune.search.trial.trial import LATENCY_SECONDS
from slimtune.workload.checkpoints import weights_bytes
from slimtune.workload.datasets import load_dataset
from slimtune.workload.normalisation import in_words
from slimtune.workload.own_code import object_key
from slimtune.workload.types import Dataset, Split, Workload
from slimtune.workload.zoo.own_numbers import normalised_for


def evaluate_file(model: Path, data: str, threads: int = 1) -> dict[str, Any]:
    """Return accuracy on the whole test set, bytes and latency of an ONNX file.

    Args:
        model: an ONNX file, of slimtune or not; float inputs get the dataset's normalisation.
        data: reference of a dataset.
        threads: of the runtime.

    Raises:
        UserError: a file or dataset that cannot be read, or that do not fit each other.
    """
    dataset = load_dataset(data)
    return {
        "model": str(model),
        **_normalised(model, dataset),
        **_scored(model, dataset, {"test": dataset.test}, threads),
        **_sizes(model, dataset, threads),
        **_notes(dataset),
    }


def evaluate_in_run(model: Path, run: Path, threads: int = 1) -> dict[str, Any]:
    """Return the same on the splits of a run: its validation images, and its test images.

    Raises:
        RunError: the folder is not a run, or its data has changed.
        UserError: the file cannot be read.
    """
    folder = RunFolder.open(run)
    workload = reopen_workload(folder, run_config(folder))
    splits = {"validation": workload.validation, "test": workload.test}
    return {
        "model": str(model),
        **_normalised(model, workload),
        **_scored(model, workload, splits, threads),
        **_sizes(model, workload, threads),
        **_notes(workload),
    }


def evaluate_checkpoint(model: str, weights: str, data: str) -> dict[str, Any]:
    """Return the accuracy of a checkpoint, in torch, on the whole test set.

    Raises:
        UserError: the model, the weights or the data cannot be used.
    """
    dataset = load_dataset(data)
    network = load_network(SearchConfig(model=model, weights=weights, data=data), dataset)
    dataset = normalised_for(dataset, model, network)
    logits = network_logits(network, dataset.test.images, dataset).numpy()
    score = accuracy(logits, dataset.test.labels)
    return {
        "model": model,
        "weights": weights,
        "normalisation": in_words(dataset.mean, dataset.std, dataset.normalised_by),
        "test_images": len(dataset.test),
        "test_accuracy": score,
        "test_standard_error": standard_error(score, len(dataset.test)),
        "params": sum(p.numel() for p in network.parameters()),
        "size_bytes": _weights_size(weights, network),
        **_notes(dataset),
    }


def _weights_size(weights: str, network: nn.Module) -> int:
    """Return the bytes of a weights file; for weights given as objects, of the file they make."""
    if object_key(weights) is not None:
        return len(weights_bytes(network))
    return Path(weights).stat().st_size


def _normalised(model: Path, data: Dataset | Workload) -> dict[str, str]:
    """Return how pixels are normalised for a file that does not normalise them itself."""
    if takes_pixels(model):
        return {}
    return {"normalisation": in_words(data.mean, data.std, data.normalised_by)}


def _scored(
    model: Path, data: Dataset | Workload, splits: dict[str, Split], threads: int
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, split in splits.items():
        logits = predict(model, split.images, mean=data.mean, std=data.std, threads=threads)
        if logits.shape[1] != len(data.classes):
            raise DataError(
                f"{model} tells {logits.shape[1]} classes apart, but the data has "
                f"{len(data.classes)}; evaluate it on the data that it was made for"
            )
        score = accuracy(logits, split.labels)
        result[f"{name}_images"] = len(split)
        result[f"{name}_accuracy"] = score
        result[f"{name}_standard_error"] = standard_error(score, len(split))
    return result


def _notes(data: Dataset | Workload) -> dict[str, Any]:
    return {"notes": list(data.notes)} if data.notes else {}


def _sizes(model: Path, data: Dataset | Workload, threads: int) -> dict[str, Any]:
    latency = measure_latency(
        [model], image_shape=data.image_shape, threads=threads, seconds=LATENCY_SECONDS
    )[0]
    return {
        "size_bytes": model.stat().st_size,
        "latency_ms": latency.ms,
        "latency_stable": latency.stable,
        "latency_batch": latency.batch,
        "threads": threads,
    }
