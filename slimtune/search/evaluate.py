"""Accuracy, size and latency of any file or checkpoint, on any data slimtune can read."""

from pathlib import Path
from typing import Any

from slimtune.compression.training import network_logits
from slimtune.measurement.accuracy import accuracy, standard_error
from slimtune.measurement.latency import measure_latency
from slimtune.measurement.runtime import predict
from slimtune.results.folder import RunFolder
from slimtune.search.config import SearchConfig
from slimtune.search.rerun import run_config
from slimtune.search.setup import SPLIT_SEED, load_workload
from slimtune.workload.datasets import load_dataset
from slimtune.workload.splits import split_dataset
from slimtune.workload.types import Dataset, Split


def evaluate_file(model: Path, data: str, threads: int = 1) -> dict[str, Any]:
    """Return accuracy on the whole test set, bytes and latency of an ONNX file.

    Args:
        model: an ONNX file, ours or another's; float inputs get the dataset's normalisation.
        data: reference of a dataset.
        threads: of the runtime.

    Raises:
        UserError: a file or dataset that cannot be read, or that do not fit each other.
    """
    dataset = load_dataset(data)
    return {
        "model": str(model),
        **_scored(model, dataset, {"test": dataset.test}, threads),
        **_sizes(model, dataset, threads),
    }


def evaluate_in_run(model: Path, run: Path, threads: int = 1) -> dict[str, Any]:
    """Return the same on the run's own splits: validation as the search saw it, and test.

    Raises:
        RunError: the folder is not a run.
        UserError: the file cannot be read.
    """
    config = run_config(RunFolder.open(run))
    dataset = load_dataset(config.data)
    _, validation, test = split_dataset(
        dataset, config.validation_source, config.validation_fraction, SPLIT_SEED
    )
    splits = {"validation": validation, "test": test}
    return {
        "model": str(model),
        **_scored(model, dataset, splits, threads),
        **_sizes(model, dataset, threads),
    }


def evaluate_checkpoint(model: str, weights: str, data: str) -> dict[str, Any]:
    """Return the accuracy of a checkpoint, in torch, on the whole test set.

    Raises:
        UserError: the model, the weights or the data cannot be used.
    """
    dataset = load_dataset(data)
    workload = load_workload(SearchConfig(model=model, weights=weights, data=data), dataset)
    logits = network_logits(workload.baseline, dataset.test.images, workload).numpy()
    score = accuracy(logits, dataset.test.labels)
    return {
        "model": model,
        "weights": weights,
        "test_images": len(dataset.test),
        "test_accuracy": score,
        "test_standard_error": standard_error(score, len(dataset.test)),
        "params": sum(p.numel() for p in workload.baseline.parameters()),
        "size_bytes": Path(weights).stat().st_size,
    }


def _scored(
    model: Path, dataset: Dataset, splits: dict[str, Split], threads: int
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, split in splits.items():
        logits = predict(model, split.images, mean=dataset.mean, std=dataset.std, threads=threads)
        score = accuracy(logits, split.labels)
        result[f"{name}_images"] = len(split)
        result[f"{name}_accuracy"] = score
        result[f"{name}_standard_error"] = standard_error(score, len(split))
    return result


def _sizes(model: Path, dataset: Dataset, threads: int) -> dict[str, Any]:
    latency = measure_latency([model], image_shape=dataset.image_shape, threads=threads)[0]
    return {
        "size_bytes": model.stat().st_size,
        "latency_ms": latency.ms,
        "latency_stable": latency.stable,
        "threads": threads,
    }
