"""The key of a snapshot: a hash of everything that its bits depend on.

Two trials share the student after a stage only if its key is the same for both. A key must name
every cause of other bits: recipe, seed, data, networks, code, versions and processor.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slimtune.compression.network.copies import copied
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE
from slimtune.conditions import Conditions
from slimtune.measurement.host import describe_host
from slimtune.results.store.files import sha256_bytes, sha256_file
from slimtune.search.trial.snapshot_files import carried_out
from slimtune.search.trial.spec import TrialSpec
from slimtune.workload.checkpoints import weights_bytes
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build

SCHEMA = 1
_VERSIONED = ("torch", "torchvision", "torch-pruning", "numpy", "timm")
_PACKAGE = Path(__file__).parents[2]
_SOURCES = ("compression", "workload")


def snapshot_key(facts: Mapping[str, Any]) -> str:
    """Return the key of a snapshot: 64 hexadecimal digits, a hash of `snapshot_facts`."""
    return sha256_bytes(json.dumps(facts, sort_keys=True).encode())


def snapshot_facts(
    origin: Mapping[str, Any], spec: TrialSpec, recipe: Recipe, done: str
) -> dict[str, Any]:
    """Return everything that the bits of the student after a stage depend on, as plain data.

    Args:
        origin: from `run_origin`.
        spec: of the trial: seed, threads, device.
        recipe: the trial's.
        done: the stage, ``"prune"`` or ``"train"``.
    """
    recipe = recipe.effective()
    return {
        "schema": SCHEMA,
        "done": done,
        "recipe": carried_out(recipe, done),
        "views": spec.conditions.views if recipe.distill.needs_teacher else 0,
        **origin,
        "student": _student_facts(recipe, Architecture(**origin["architecture"])),
        **shared_conditions(spec.conditions),
    }


def run_origin(workload: Workload, data: str) -> dict[str, Any]:
    """Return what all snapshots of a run depend on: data, augmentation, baseline and teacher.

    Args:
        workload: of the run.
        data: fingerprint of all splits, class names and normalisation.
    """
    teacher = workload.teacher
    return {
        "data": data,
        "augmentation": dataclasses.asdict(workload.augmentation),
        "architecture": dataclasses.asdict(workload.architecture),
        "baseline": _network_facts(workload.baseline, workload),
        "teacher": None if teacher is None else _network_facts(teacher, workload),
    }


def shared_conditions(conditions: Conditions) -> dict[str, Any]:
    """Return how and where a trial computes what it may share; see `surroundings`."""
    return {
        "seed": conditions.shared_seed,
        "threads": conditions.threads,
        "device": conditions.device,
        "precision": conditions.precision,
        **surroundings(conditions.device),
    }


def surroundings(device: str) -> dict[str, Any]:
    """Return what else may change the bits, with the same inputs: code, versions, processor.

    torch chooses its kernels by the processor, and the kernels decide the last bits.

    Args:
        device: torch device of the trial, such as ``"cpu"`` or ``"cuda:0"``.
    """
    cuda = device.startswith("cuda")
    return {
        "code": _code(),
        "versions": _versions(),
        "cpu": f"{describe_host()['cpu']}, {torch.backends.cpu.get_cpu_capability()}",
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
    }


def _student_facts(recipe: Recipe, architecture: Architecture) -> dict[str, Any] | None:
    """Return what identifies a student other than the baseline; None for the baseline."""
    student = recipe.student
    if student.model == BASELINE:
        return None
    network = build(dataclasses.replace(architecture, name=student.model))
    weights = None if student.weights is None else sha256_file(Path(student.weights).expanduser())
    return {"weights": weights, **_structure_facts(network)}


def _network_facts(network: nn.Module, workload: Workload) -> dict[str, str]:
    """Return hashes of a network's weights, layers and code, as trials get it."""
    # Trials begin with a copy in plain layers, whose weights may differ from those handed in.
    network = copied(network, workload.image_shape)
    return {"weights": sha256_bytes(weights_bytes(network)), **_structure_facts(network)}


def _structure_facts(network: nn.Module) -> dict[str, str]:
    return {"layers": sha256_bytes(repr(network).encode()), "code": _classes(network)}


def _classes(network: nn.Module) -> str:
    """Return a hash of the source files of the network's classes.

    Classes of torch, torchvision and timm are left out: the versions cover them.
    """
    names = {type(module).__module__ for module in network.modules()}
    digest = hashlib.sha256()
    for name in sorted(names):
        if name.partition(".")[0] in ("torch", "torchvision", "timm"):
            continue
        file = getattr(sys.modules.get(name), "__file__", None)
        source = Path(file).read_bytes() if file and Path(file).is_file() else b""
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def source_hash(package: Path) -> str:
    """Return a hash of the source code that makes a student: SHA-256, hexadecimal.

    Args:
        package: the folder of slimtune.
    """
    digest = hashlib.sha256()
    for unit in _SOURCES:
        for file in sorted((package / unit).rglob("*.py")):
            source = file.read_bytes()
            digest.update(f"{file.relative_to(package)} {len(source)}\n".encode() + source)
    return digest.hexdigest()


@functools.cache
def _code() -> str:
    """Return the hash of this slimtune.

    It is read once a process: a later edit of the files does not change the loaded code.
    """
    return source_hash(_PACKAGE)


@functools.cache
def _versions() -> dict[str, str]:
    versions = {}
    for package in _VERSIONED:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
