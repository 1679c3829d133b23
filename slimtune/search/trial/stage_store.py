"""Beginnings that trials share: what is the same for two recipes is trained once a run.

A *beginning* is a recipe up to the end of a stage: pruned, or pruned and fine-tuned, and not
yet quantized. It is kept if training went into it, for the rest is done again faster than it
is read. Its key names everything that its bits depend on; see `stage_key`.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slimtune.compression.network.copies import copied
from slimtune.compression.pipeline import StudentState
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE
from slimtune.conditions import Conditions
from slimtune.errors import RunError
from slimtune.measurement.host import describe_host
from slimtune.results.store.files import sha256_bytes, sha256_file
from slimtune.results.store.folder import RunFolder
from slimtune.search.settings.stage_room import room_in_bytes
from slimtune.search.trial.attempt import FetchStage, no_stage
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.stage_files import carried_out, stage_files, stage_from_files
from slimtune.workload.checkpoints import weights_bytes
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build

SCHEMA = 1
_VERSIONED = ("torch", "torchvision", "torch-pruning", "numpy", "timm")
_PACKAGE = Path(__file__).parents[2]
_SOURCES = ("compression", "workload")


class RunStages:
    """The stage store of a run at work, in the driver.

    Args:
        folder: of the run.
        room: what its stages may take, as in the settings; 0 switches sharing off.
        workload: of the run.
        warn: told once when the disk refuses; from then on nothing more is kept.

    Attributes:
        origin: what every stage of the run depends on; None if there is no store.
        fetch: looks into the store; travels to other processes of this host.
    """

    def __init__(
        self, folder: RunFolder, room: str, workload: Workload, warn: Callable[[str], None]
    ) -> None:
        self._store = folder.checkpoints(room_in_bytes(room))
        self._warn = warn
        self._open = self._store.room > 0
        fingerprint = folder.manifest["workload"]["fingerprint"]
        self.origin = run_origin(workload, fingerprint) if self._open else None
        self.fetch: FetchStage = self._store.fetch if self._open else no_stage

    def add(self, stages: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep the stages that a trial has handed back."""
        if not self._open:
            return
        try:
            self._store.add(stages)
        except RunError as error:
            self._open = False
            self._warn(f"trials no longer share stages: {error}")


class Beginning:
    """The beginning of one trial: found in the store, or handed to it.

    Args:
        origin: from `run_origin`; None: nothing is looked for and nothing handed back.
        spec: of the trial.
        fetch: looks into the store.
    """

    def __init__(
        self, origin: Mapping[str, Any] | None, spec: TrialSpec, fetch: FetchStage
    ) -> None:
        self._origin = origin
        self._spec = spec
        self._fetch = fetch
        self._recipe = Recipe()
        self._facts: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._reused = ""
        self._made: dict[str, dict[str, bytes]] = {}

    def find(self, recipe: Recipe) -> StudentState | None:
        """Return the student after the last stage of ``recipe`` that the store holds."""
        if self._origin is None:
            return None
        self._recipe = recipe
        for done in stages_worth_keeping(recipe):
            self._facts[done] = stage_facts(self._origin, self._spec, recipe, done)
            self._keys[done] = stage_key(self._facts[done])
        for done, key in reversed(self._keys.items()):
            found = self._read(key, done)
            if found is not None:
                self._reused = done
                self._made[key] = {}
                return found
        return None

    def keep(self, progress: StudentState) -> None:
        """Take the student after a stage, if that is worth keeping."""
        if progress.done in self._keys:
            facts = self._facts[progress.done]
            self._made[self._keys[progress.done]] = stage_files(progress, self._recipe, facts)

    def told(self, outcome: Outcome) -> Outcome:
        """Return the trial's outcome with its stages, and with their keys in its record."""
        if not self._keys:
            return outcome
        record = dataclasses.replace(outcome.payload, stages=self._keys, reused=self._reused)
        return dataclasses.replace(outcome, payload=record, stages=self._made)

    def _read(self, key: str, done: str) -> StudentState | None:
        try:
            files = self._fetch(key)
            found = stage_from_files(files, self._recipe, Path(key)) if files else None
        except Exception:  # damaged, or the host of the store is gone: the work is done again
            return None
        return found if found is not None and found.done == done else None


def stages_worth_keeping(recipe: Recipe) -> list[str]:
    """Return the stages of a recipe whose end training went into, in their order.

    After ``prune``: sparsity training, or recovery between steps, with a fine-tune to follow.
    After ``train``: any of them. With order ``spq`` nothing ends before the quantizer acts.
    """
    recipe = recipe.effective()
    prune = recipe.prune
    if recipe.order == "spq":
        return []
    early = prune is not None and bool(
        prune.method.sparsity_epochs or (recipe.in_steps and prune.step_epochs)
    )
    late = recipe.train.epochs > 0
    return ["prune"] * (early and late) + ["train"] * (early or late)


def stage_key(facts: Mapping[str, Any]) -> str:
    """Return the name of a stage: 64 hexadecimal digits, a hash over `stage_facts`."""
    return sha256_bytes(json.dumps(facts, sort_keys=True).encode())


def stage_facts(
    origin: Mapping[str, Any], spec: TrialSpec, recipe: Recipe, done: str
) -> dict[str, Any]:
    """Return everything that the student after a stage depends on, bit by bit, as plain data.

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
    """Return what all stages of a run depend on: data, augmentation, baseline and teacher.

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
    """Return how a trial computes what it may share, and where; see `surroundings`."""
    return {
        "seed": conditions.shared_seed,
        "threads": conditions.threads,
        "device": conditions.device,
        "precision": conditions.precision,
        **surroundings(conditions.device),
    }


def surroundings(device: str) -> dict[str, Any]:
    """Return what other bits may come from with the same inputs: code, versions, processor.

    torch picks its kernels, and so the last bits, by the processor.
    """
    cuda = device.startswith("cuda")
    return {
        "code": _code(),
        "versions": _versions(),
        "cpu": f"{describe_host()['cpu']}, {torch.backends.cpu.get_cpu_capability()}",
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
    }


def _student_facts(recipe: Recipe, architecture: Architecture) -> dict[str, Any] | None:
    """Return what another student than the baseline begins as; its own seed is a fact already."""
    student = recipe.student
    if student.model == BASELINE:
        return None
    network = build(dataclasses.replace(architecture, name=student.model))
    weights = None if student.weights is None else sha256_file(Path(student.weights).expanduser())
    return {"weights": weights, **_structure_facts(network)}


def _network_facts(network: nn.Module, workload: Workload) -> dict[str, str]:
    """Return weights, layers and code of a network, in the form that trials begin with."""
    network = copied(network, workload.image_shape)
    return {"weights": sha256_bytes(weights_bytes(network)), **_structure_facts(network)}


def _structure_facts(network: nn.Module) -> dict[str, str]:
    return {"layers": sha256_bytes(repr(network).encode()), "code": _classes(network)}


def _classes(network: nn.Module) -> str:
    """Return a hash of the source files of the network's classes.

    Those of packages are left out: their versions count.
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
    """Return a hash of the source code that makes a student.

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
    """Return the hash of this slimtune, read once a process: the code at work is what it is."""
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
