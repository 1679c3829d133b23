"""The checkup of ``slimtune doctor``: findings, costs, this host, and the next command."""

import dataclasses
import html
import importlib.metadata
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from slimtune.compression.network.copies import copied
from slimtune.compression.training.recalibration import settle
from slimtune.errors import ModelError
from slimtune.measurement.cost import count_cost
from slimtune.measurement.host import describe_host
from slimtune.measurement.runtime import predict
from slimtune.results.reprs import html_table
from slimtune.results.units import duration, latency
from slimtune.search.facts import normalisation_words
from slimtune.search.forecast.doctor import Finding, examine
from slimtune.search.forecast.few_steps import training_doubts
from slimtune.search.forecast.given_weights import WeightsCheck, check_weights
from slimtune.search.forecast.small_trials import few_images, small_trial
from slimtune.search.forecast.steadiness import steadiness
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import load_workload
from slimtune.search.trial.trial import LATENCY_SECONDS
from slimtune.workload.datasets import load_dataset
from slimtune.workload.own_code import object_key
from slimtune.workload.sources.fit import split_options
from slimtune.workload.sources.room import memory_bytes
from slimtune.workload.types import Workload

_TIMED_SECONDS = 2.0
"""Seconds for which training steps are timed, about."""


@dataclass(frozen=True, repr=False)
class Checkup:
    """The result of a checkup.

    Attributes:
        model: as it was asked for.
        data: as it was asked for.
        image_shape: (channels, height, width).
        classes: how many.
        images: of the splits ``train``, ``validation`` and ``test``.
        mirrored: whether training mirrors images.
        notes: of the data: what was left out, or interpreted.
        baseline: ``params``, ``macs``, ``size_bytes`` and ``latency_ms`` of the network as it is.
        findings: technique by technique.
        trial: ``seconds`` of a usual trial, its parts, and ``how`` they were computed.
        host: machine, memory, GPUs, versions, and how steady its latencies are, see `Steadiness`.
        command: a search that avoids what does not work.
        doubts: settings of training that do not suit the data, a line each.
        normalisation: how pixels become the network's input, and where that comes from.
        weights: accuracy of given weights on some images, with each usual normalisation.
        warnings: notes on weights files that hold more than the weights.
    """

    model: str
    data: str
    image_shape: tuple[int, int, int]
    classes: int
    images: dict[str, int]
    mirrored: bool
    notes: tuple[str, ...]
    baseline: dict[str, float]
    findings: list[Finding]
    trial: dict[str, Any]
    host: dict[str, Any]
    command: str
    doubts: list[str] = field(default_factory=list)
    normalisation: str = ""
    weights: tuple[WeightsCheck, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        """Return it in one line."""
        works = sum(finding.works for finding in self.findings)
        lost = [
            f"{finding.stage} {finding.what}" for finding in self.findings if not finding.works
        ]
        without = f" (not: {', '.join(lost)})" if lost else ""
        return (
            f"<Checkup {self.model} on {self.data}: {works} of {len(self.findings)} "
            f"techniques work{without}; a trial about {duration(self.trial['seconds'])}; "
            f"next: {self.command}>"
        )

    def _repr_html_(self) -> str:
        """Return technique by technique what works and why, for a notebook."""
        rows = [
            (one.stage, one.what, "yes" if one.works else "no", one.detail)
            for one in self.findings
        ]
        table = html_table(("stage", "what", "works", "because"), rows)
        return f"<p>{html.escape(repr(self))}</p>{table}"


def check_up(
    config: SearchConfig,
    tell: Callable[[str], None] = lambda _: None,
    preset: str | None = None,
    assignments: Sequence[str] = (),
) -> Checkup:
    """Find out what a search with this config can use, and what it will cost.

    Args:
        config: model, weights and data; the rest of it as a search would take it.
        tell: called with a few words on each step.
        preset: from which ``config`` was made, for the command.
        assignments: ``a.b=value`` each, from which ``config`` was made, for the command.

    Raises:
        UserError: the model or the data cannot be used at all, or do not fit each other.
    """
    torch.set_num_threads(1)  # as a trial on a CPU
    tell("network")
    warnings: list[str] = []
    workload = load_workload(config, load_dataset(config.data), warnings.append)
    tell("given weights")
    weights = tuple(check_weights(config, workload))
    findings = []
    for finding in examine(workload):
        tell(f"{finding.stage} {finding.what}")
        findings.append(finding)
    if not findings[0].works:
        raise ModelError(f"{config.model} cannot be exported: {findings[0].detail}")
    findings = _retry_settled(config, workload, findings, tell)
    tell("latency")
    onnx = small_trial(few_images(workload), {}).onnx
    steady = steadiness(workload, onnx)
    tell("training steps")
    cost = count_cost(copied(workload.baseline, workload.image_shape), workload.image_shape)
    return Checkup(
        model=config.model,
        data=config.data,
        image_shape=workload.image_shape,
        classes=len(workload.classes),
        images={name: len(getattr(workload, name)) for name in ("train", "validation", "test")},
        mirrored=workload.augmentation.flip,
        notes=workload.notes,
        baseline={
            "params": cost.params,
            "macs": cost.macs,
            "size_bytes": len(onnx),
            "latency_ms": steady.ms,
            "latency_stable": steady.stable,
        },
        findings=findings,
        trial=_trial(config, workload, onnx),
        host={**describe_host(), **_machine(), **steady.to_dict()},
        command=_command(config, findings, preset, assignments),
        doubts=training_doubts(config, workload),
        normalisation=normalisation_words(workload),
        weights=weights,
        warnings=tuple(warnings),
    )


def _retry_settled(
    config: SearchConfig,
    workload: Workload,
    findings: list[Finding],
    tell: Callable[[str], None],
) -> list[Finding]:
    """Try techniques that failed a second time, with batch statistics of some images.

    Only for a network that the search will train: a technique that works with either statistics
    will work on the trained network.
    """
    untrained = config.weights is None and config.baseline.epochs > 0
    if all(finding.works for finding in findings) or not untrained:
        return findings
    settled = dataclasses.replace(
        workload, baseline=copied(workload.baseline, workload.image_shape)
    )
    generator = torch.Generator().manual_seed(config.seed)
    if not settle(settled.baseline, few_images(workload), generator):
        return findings
    second = {}
    for finding in examine(settled, among={f.what for f in findings if not f.works}):
        tell(f"{finding.stage} {finding.what}, again")
        second[finding.what] = finding
    return [f if f.works else second.get(f.what, f) for f in findings]


def _trial(config: SearchConfig, workload: Workload, onnx: bytes) -> dict[str, Any]:
    """Return the seconds of a trial that prunes, fine-tunes and exports, from timed parts."""
    train = config.resolved_space().stages["train"]
    epochs = max(float(end) for end in train["epochs"].ends())
    batch = int(max(train["batch_size"].ends()))
    images, step = _time_steps(workload, batch)
    few = few_images(workload)
    export = _seconds_of(partial(small_trial, few, {}))
    images_of = few.validation.images
    score = _seconds_of(partial(predict, onnx, images_of, mean=workload.mean, std=workload.std))
    parts = {
        "fine_tuning": epochs * len(workload.train) * step,
        "export": export,
        "accuracy": len(workload.validation) * score / len(images_of),
        "latency": LATENCY_SECONDS,
    }
    return {
        "seconds": sum(parts.values()),
        **parts,
        "how": f"{latency(1000 * step)} an image in training (timed over {images} images) x "
        f"{len(workload.train)} images x {epochs:g} epochs on 1 thread, plus export and "
        "measurement, timed once; a teacher adds up to half, a learned quantizer its own epochs",
    }


def _time_steps(workload: Workload, batch: int) -> tuple[int, float]:
    """Return the number of training images, and the seconds for one of them.

    The number grows until the steps take long enough to time. The time of the same trial without
    training is subtracted.
    """
    count, most = min(8, len(workload.train)), min(len(workload.train), 16 * batch)
    while True:
        few = few_images(workload, count)
        train = {"epochs": 1, "lr": 1e-4, "batch_size": max(2, min(batch, count))}
        without = _seconds_of(partial(small_trial, few, {}))
        seconds = _seconds_of(partial(small_trial, few, {"train": train})) - without
        if seconds > _TIMED_SECONDS or count >= most:
            return count, max(1e-6, seconds) / count
        count = min(most, 4 * count)


def _seconds_of(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _machine() -> dict[str, Any]:
    return {
        "memory_bytes": memory_bytes(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "ray_address": os.environ.get("RAY_ADDRESS"),
        "timm": _version("timm"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _command(
    config: SearchConfig, findings: list[Finding], preset: str | None, assignments: Sequence[str]
) -> str:
    """Return the command of the search, with only those methods that work."""
    space = _working_methods(config, findings)
    if any(object_key(split_options(text)[0]) for text in (config.model, config.data)):
        arguments = [f'preset="{preset}"'] if preset is not None else []
        arguments += [
            f"{name}=..." for name in ("model", "data")
        ]  # the objects that the caller has
        arguments += [f"space={ {s: {'method': m} for s, m in space.items()} }"] if space else []
        return f"slimtune.search({', '.join(arguments)}, out=...)"
    words = ["slimtune", "search"]
    if preset is not None:
        words += ["--preset", preset]
    words += ["--model", config.model, "--data", config.data]
    if config.weights is not None:
        words += ["--weights", config.weights]
    for assignment in assignments:
        words += ["--set", assignment]
    for stage, methods in space.items():
        words += ["--set", f"space.{stage}.method=[{','.join(methods)}]"]
    return shlex.join(words)


def _working_methods(config: SearchConfig, findings: list[Finding]) -> dict[str, list[str]]:
    """Return, for each stage with methods that do not work, those that do."""
    result = {}
    for stage, methods in config.resolved_space().methods.items():
        good = {m for f in findings if f.stage == stage and f.works for m in f.methods}
        fitting = [method for method in methods if method == "none" or method in good]
        if len(fitting) < len(methods):
            result[stage] = fitting or ["none"]
    return result
