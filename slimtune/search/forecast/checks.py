"""Refuses, before the baseline is trained, what would fail in every trial."""

import contextlib
import copy
import dataclasses
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from slimtune.compression.calibration import calibration_batch
from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.distillation.features import check_features
from slimtune.compression.network.admission import IMAGES, check_network
from slimtune.compression.network.layers import weight_layers
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.protocol import ChannelPruning, WeightPruning
from slimtune.compression.pruning.stage.surgery import (
    check_prunable,
    find_groups,
    remember_unprunable,
    unprunable_groups,
)
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE, Student
from slimtune.errors import ModelError, PruningError, TrialError, UserError
from slimtune.search.forecast.trial_files import check_files
from slimtune.search.proposing.draws import check_draws
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.students import build_student
from slimtune.spaces.space import Space
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Workload


def check_space(config: SearchConfig, workload: Workload) -> None:
    """Check that every part of the space can be carried out on this workload.

    The workload then knows which channels of each student can be removed; see `learn_groups`.

    Raises:
        ConfigError: the space holds recipes that contradict themselves.
        ModelError: a network of the space cannot be built, pruned or taught as the space wants.
    """
    space = config.resolved_space()
    check_draws(space)
    methods = _pruning_methods(space)
    for student in students_of(space):
        network = _network(student, workload, "space.student.model")
        check_files(_label(student.model, workload), network, workload, _quantizers(space))
        _check_prunable(student, methods, network, workload)
        for method in space.methods["distill"]:
            _check_features(student.model, method, network, workload)


def check_recipe(recipe: Recipe, workload: Workload) -> None:
    """Check that one recipe can be carried out on this workload.

    Raises:
        ModelError: the student cannot be built, pruned or taught as the recipe wants.
    """
    name = recipe.student.model
    network = _network(recipe.student, workload, "student.model")
    check_files(_label(name, workload), network, workload, [recipe.quantize])
    if recipe.prune is not None:
        _check_prunable(recipe.student, [recipe.prune.method], network, workload)
    _check_features(name, DISTILLATION.name_of(recipe.distill), network, workload)


def learn_groups(config: SearchConfig, workload: Workload) -> None:
    """Find out once, for all trials, which channels of each student can be removed.

    Args:
        config: of a resumed run, whose space was checked when it began.
        workload: stores the result.
    """
    space = config.resolved_space()
    if any(isinstance(method, ChannelPruning) for method in _pruning_methods(space)):
        for student in students_of(space):
            with contextlib.suppress(UserError, PruningError):  # the trials will report why
                network = student_network(student, workload, "space.student.model")
                find_groups(network, _noise(workload))
                _remember(student, network, workload)


def _remember(student: Student, network: nn.Module, workload: Workload) -> None:
    """Store in the workload which groups must stay whole, which cutting copies has shown."""
    reasons = unprunable_groups(network)
    if student.model == BASELINE:
        remember_unprunable(workload.baseline, reasons)
    elif reasons is not None:
        workload.unprunable_groups[student.model, student.weights] = reasons


def students_of(space: Space) -> list[Student]:
    """Return every student of the space."""
    domains = space.stages["student"]
    pairs = product(domains["model"].ends(), domains["weights"].ends())
    return [Student(model=str(m), weights=None if w is None else str(w)) for m, w in pairs]


def _pruning_methods(space: Space) -> list[ChannelPruning | WeightPruning]:
    """Return every pruning method of the space, at both ends of each of its own dimensions."""
    methods: list[ChannelPruning | WeightPruning] = []
    for name, row in space.methods["prune"].items():
        if name != "none":
            methods.append(PRUNING[name](**{key: d.ends()[0] for key, d in row.items()}))
            methods += [PRUNING[name](**{k: end}) for k, d in row.items() for end in d.ends()[1:]]
    return methods


def _quantizers(space: Space) -> list[Quantizer]:
    """Return every quantizer of the space, with the first value of each dimension."""
    return [
        QUANTIZATION[name](**{key: domain.ends()[0] for key, domain in row.items()})
        for name, row in space.methods["quantize"].items()
        if name != "none"
    ]


def _network(student: Student, workload: Workload, where: str) -> nn.Module:
    """Return the student as a network, checked, in the form that pruning needs."""
    name = student.model
    network = student_network(student, workload, where)
    if name == BASELINE:
        _check_network(network, _label(name, workload), workload)
        return network
    try:
        with torch.no_grad():
            network(_noise(workload))
    except (
        Exception,
        SystemExit,
    ) as error:  # torch raises various types for sizes that do not fit
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{where}: {name} cannot run on {workload.image_shape} images: {reason}"
        ) from None
    _check_network(network, f"{where}: {name}", workload)
    return network


def student_network(student: Student, workload: Workload, where: str) -> nn.Module:
    """Return the student as a network in eval mode."""
    if student.model == BASELINE:
        return materialize_shortcuts(copy.deepcopy(workload.baseline)).eval()
    architecture = dataclasses.replace(workload.architecture, name=student.model)
    try:
        network = build_student(architecture, student.weights)
    except UserError as error:
        raise type(error)(f"{where}: {error}") from None
    return materialize_shortcuts(network).eval()


def _check_network(network: nn.Module, name: str, workload: Workload) -> None:
    check_network(network, calibration_batch(workload, IMAGES, "cpu")[0], name)


def _noise(workload: Workload) -> Tensor:
    return torch.randn(2, *workload.image_shape, generator=torch.Generator().manual_seed(0))


def _check_prunable(
    student: Student,
    methods: Sequence[ChannelPruning | WeightPruning],
    network: nn.Module,
    workload: Workload,
) -> None:
    """Check the surgery once, and that each method can score this network."""
    noise = _noise(workload)
    cuts = any(isinstance(method, ChannelPruning) for method in methods)
    try:
        if cuts:
            check_prunable(network, noise)
        groups = find_groups(network, noise) if cuts else []
        _remember(student, network, workload)
        layers = weight_layers(network, noise)
        weights = {layer.weight_name: layer.weight.detach() for layer in layers}
        for method in methods:
            if isinstance(method, WeightPruning):
                method.masks(weights, 0.5, "local")
            else:
                method.check(groups)
    except PruningError as error:
        raise ModelError(
            f"pruning test failed for '{_label(student.model, workload)}': {error}; "
            "use another method, or none: --set space.prune.method=none in a search"
        ) from None


def _check_features(name: str, method: str, student: nn.Module, workload: Workload) -> None:
    teacher = workload.teacher if workload.teacher is not None else workload.baseline
    try:
        check_features(student, teacher, _noise(workload), DISTILLATION[method].features)
    except TrialError as error:
        label = _label(name, workload)
        raise ModelError(f"distillation {method} of '{label}': {error}") from None


def _label(student: str, workload: Workload) -> str:
    return workload.architecture.name if student == BASELINE else student
