"""Compares models side by side, of slimtune or not, files or checkpoints, by the same measures."""

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from slimtune.compression.export.inspection import inspect_file
from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.compression.training.loop import network_logits
from slimtune.errors import ConfigError, ModelError
from slimtune.measurement.accuracy import accuracy
from slimtune.measurement.cost import count_cost
from slimtune.measurement.latency import measure_latency
from slimtune.measurement.runtime import input_shape, observe_ranges, predict
from slimtune.results.interval import standard_error
from slimtune.results.store.folder import RunFolder, find_run
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.recorded import run_config
from slimtune.search.setup import load_network, reopen_workload
from slimtune.search.trial.trial import LATENCY_SECONDS
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Dataset, Split
from slimtune.workload.zoo.own_numbers import normalised_for


@dataclass(frozen=True)
class Compared:
    """One model beside others.

    Attributes:
        model: as it was given.
        size_bytes: of the file.
        compression_ratio: bytes of the first model / bytes of this one.
        params: learned numbers; batch normalisations of files are folded, those of checkpoints
            are not.
        nonzero: how many of them are not 0.
        sparsity: fraction of the weights of convolutions and linear layers that are 0, 0..1.
        macs: multiply-accumulates of one image; None if the file does not say.
        bops: sum over layers of MACs * weight bits * input bits; None as ``macs``.
        packed_bytes: weights in their bits, dense or as a bitmap, and all else in 4 bytes.
        test_accuracy: 0..1; None without data.
        test_standard_error: of it.
        test_images: how many.
        latency_ms: of one image, all models in turn; a checkpoint as a float ONNX file.
        latency_stable: whether the machine was quiet enough to measure it.
        latency_batch: images in one call: 1, unless the file requires more.
    """

    model: str
    size_bytes: int
    compression_ratio: float
    params: int
    nonzero: int
    sparsity: float
    macs: int | None
    bops: int | None
    packed_bytes: int
    test_accuracy: float | None
    test_standard_error: float | None
    test_images: int | None
    latency_ms: float
    latency_stable: bool
    latency_batch: int


@dataclass(frozen=True)
class _Subject:
    """A model to compare: its file and, for a checkpoint, its network.

    The data of a checkpoint are normalised as its own network expects it.
    """

    text: str
    path: Path
    network: nn.Module | None
    onnx: Path | bytes
    data: Dataset | None


def compare_models(
    models: Sequence[str], data: str | None = None, run: Path | None = None, threads: int = 1
) -> list[Compared]:
    """Count and measure models side by side; latencies are taken in turn.

    Args:
        models: ONNX files, folders that hold a ``model.onnx``, or checkpoints as
            ``MODEL=FILE``, such as ``resnet20=weights.th``.
        data: reference of a dataset, whose test split is used.
        run: the run whose data and test split are used instead. If neither is given, the run
            in which a file lies; without one, accuracy is not measured.
        threads: of the runtime.

    Raises:
        UserError: a model or dataset that cannot be read, or that do not fit each other.
        RunError: the folder is not a run, or its data has changed.
    """
    for text in models:
        _check_exists(text)
    dataset, test = _data(models, data, run)
    subjects = [_subject(text, dataset) for text in models]
    shape = dataset.image_shape if dataset else input_shape(subjects[0].onnx)
    latencies = measure_latency(
        [subject.onnx for subject in subjects],
        image_shape=shape,
        threads=threads,
        seconds=LATENCY_SECONDS,
    )
    first = subjects[0].path.stat().st_size
    return [
        Compared(
            model=subject.text,
            size_bytes=subject.path.stat().st_size,
            compression_ratio=first / subject.path.stat().st_size,
            latency_ms=latency.ms,
            latency_stable=latency.stable,
            latency_batch=latency.batch,
            **_counted(subject, shape),
            **_scored(subject, test, threads),
        )
        for subject, latency in zip(subjects, latencies, strict=True)
    ]


def _check_exists(text: str) -> None:
    path = _file_of(text)
    if not path.is_file():
        raise ModelError(
            f"{text}: a model must be an ONNX file, a folder with model.onnx, or MODEL=FILE for "
            f"a checkpoint, but there is no file {path}"
        )


def _file_of(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        return path / "model.onnx"
    return Path(text.partition("=")[2]) if _is_checkpoint(text) else path


def _is_checkpoint(text: str) -> bool:
    return "=" in text and not Path(text).exists()


def _data(
    models: Sequence[str], data: str | None, run: Path | None
) -> tuple[Dataset | None, Split | None]:
    """Return the dataset and its test split; a run may have taken validation images from it."""
    if data is not None:
        dataset = load_dataset(data)
        return dataset, dataset.test
    runs = (find_run(_file_of(text)) for text in models)
    run = run if run is not None else next((found for found in runs if found), None)
    if run is None:
        return None, None
    folder = RunFolder.open(run)
    config = run_config(folder)
    workload = reopen_workload(folder, config)
    # Numbers from the run's own network may be replaced by those of a compared network.
    origin = "default" if workload.normalised_by == "network" else workload.normalised_by
    dataset = dataclasses.replace(
        load_dataset(config.data), mean=workload.mean, std=workload.std, normalised_by=origin
    )
    return dataset, workload.test


def _subject(text: str, dataset: Dataset | None) -> _Subject:
    path = _file_of(text)
    if not _is_checkpoint(text):
        return _Subject(text, path, None, path, dataset)
    if dataset is None:
        raise ConfigError(f"{text}: a checkpoint needs --data or --run, which define its classes")
    config = SearchConfig(model=text.partition("=")[0], weights=str(path))
    network = load_network(config, dataset)
    dataset = normalised_for(dataset, config.model, network)
    channels, height, width = dataset.image_shape
    content = export_file(
        network,
        Signature(dataset.image_shape, dataset.mean, dataset.std, dataset.classes),
        calibration=np.zeros((1, height, width, channels), np.uint8),
        observe=observe_ranges,
    ).onnx
    return _Subject(text, path, network, content, dataset)


def _counted(subject: _Subject, shape: tuple[int, int, int]) -> dict[str, Any]:
    if subject.network is not None:
        return asdict(count_cost(subject.network, shape))
    content = inspect_file(subject.onnx)
    names = ("params", "nonzero", "sparsity", "macs", "bops", "packed_bytes")
    return {name: getattr(content, name) for name in names}


def _scored(subject: _Subject, test: Split | None, threads: int) -> dict[str, Any]:
    names = ("test_accuracy", "test_standard_error", "test_images")
    dataset = subject.data
    if dataset is None or test is None:
        return dict.fromkeys(names)
    if subject.network is not None:
        logits = network_logits(subject.network, test.images, dataset).numpy()
    else:
        logits = predict(
            subject.onnx, test.images, mean=dataset.mean, std=dataset.std, threads=threads
        )
    if logits.shape[1] != len(dataset.classes):
        raise ModelError(
            f"{subject.text} tells {logits.shape[1]} classes apart, but the data has "
            f"{len(dataset.classes)}; compare on the data that it was made for"
        )
    score = accuracy(logits, test.labels)
    return dict(zip(names, (score, standard_error(score, len(test)), len(test)), strict=True))
