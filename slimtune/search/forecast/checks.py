"""What can be known to fail is refused before the baseline is trained, not in every trial."""

import contextlib
import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slimtune.compression.calibration import calibration_batch
from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.distillation.features import check_features
from slimtune.compression.network.admission import IMAGES, check_network
from slimtune.compression.network.layers import weight_layers
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.protocol import ChannelPruning, WeightPruning
from slimtune.compression.pruning.stage.surgery import check_prunable, find_groups, remember_groups
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE
from slimtune.errors import ModelError, PruningError, TrialError, UserError
from slimtune.search.forecast.trial_files import check_files
from slimtune.search.proposing.draws import check_draws
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.trial import build_student
from slimtune.spaces.space import Space
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Workload


def check_space(config: SearchConfig, workload: Workload) -> None:
    """Check that every part of the space can be carried out on this workload.

    Raises:
        ConfigError: the space holds recipes that contradict themselves.
        ModelError: a network of the space cannot be built, pruned or taught as the space wants.
    """
    space = config.resolved_space()
    check_draws(space)
    methods = _pruning_methods(space)
    students = space.stages["student"]
    for name in students["model"].ends():
        for weights in students["weights"].ends():
            file = None if weights is None else str(weights)
            student = _student(str(name), file, workload, "space.student.model")
            known = _known_as(str(name), workload)
            check_files(known, student, workload, _quantizers(space))
            _check_prunable(str(name), methods, student, workload)
            for method in space.methods["distill"]:
                _check_features(str(name), method, student, workload)


def check_recipe(recipe: Recipe, workload: Workload) -> None:
    """Check that one recipe can be carried out on this workload.

    Raises:
        ModelError: the student cannot be built, pruned or taught as the recipe wants.
    """
    name = recipe.student.model
    student = _student(name, recipe.student.weights, workload, "student.model")
    check_files(_known_as(name, workload), student, workload, [recipe.quantize])
    if recipe.prune is not None:
        _check_prunable(name, [recipe.prune.method], student, workload)
    _check_features(name, DISTILLATION.name_of(recipe.distill), student, workload)


def learn_groups(config: SearchConfig, workload: Workload) -> None:
    """Try once, for all trials, which channels of a reopened baseline can be removed."""
    methods = _pruning_methods(config.resolved_space())
    if any(isinstance(method, ChannelPruning) for method in methods):
        network = materialize_shortcuts(copy.deepcopy(workload.baseline)).eval()
        with contextlib.suppress(PruningError):
            find_groups(network, _noise(workload))
        remember_groups(workload.baseline, network)


def _pruning_methods(space: Space) -> list[ChannelPruning | WeightPruning]:
    """Return every pruning method of the space, with each end of each of its own dimensions."""
    found: list[ChannelPruning | WeightPruning] = []
    for name, row in space.methods["prune"].items():
        if name != "none":
            found.append(PRUNING[name](**{key: d.ends()[0] for key, d in row.items()}))
            found += [PRUNING[name](**{k: end}) for k, d in row.items() for end in d.ends()[1:]]
    return found


def _quantizers(space: Space) -> list[Quantizer]:
    """Return each quantizer of the space, with the first value of each dimension."""
    return [
        QUANTIZATION[name](**{key: domain.ends()[0] for key, domain in row.items()})
        for name, row in space.methods["quantize"].items()
        if name != "none"
    ]


def _student(name: str, weights: str | None, workload: Workload, where: str) -> nn.Module:
    """Return a network that recipes start from, as pruning sees it."""
    if name == BASELINE:
        network = materialize_shortcuts(copy.deepcopy(workload.baseline)).eval()
        _check_network(network, _known_as(name, workload), workload)
        return network
    try:
        network = build_student(dataclasses.replace(workload.architecture, name=name), weights)
    except UserError as error:
        raise type(error)(f"{where}: {error}") from None
    network = materialize_shortcuts(network).eval()
    try:
        with torch.no_grad():
            network(_noise(workload))
    except (Exception, SystemExit) as error:  # whatever torch raises for sizes that do not fit
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{where}: {name} cannot run on {workload.image_shape} images: {reason}"
        ) from None
    _check_network(network, f"{where}: {name}", workload)
    return network


def _check_network(network: nn.Module, name: str, workload: Workload) -> None:
    check_network(network, calibration_batch(workload, IMAGES, "cpu")[0], name)


def _noise(workload: Workload) -> Tensor:
    return torch.randn(2, *workload.image_shape, generator=torch.Generator().manual_seed(0))


def _check_prunable(
    name: str,
    methods: Sequence[ChannelPruning | WeightPruning],
    network: nn.Module,
    workload: Workload,
) -> None:
    """Check the surgery once, and that each method finds something to look at."""
    noise = _noise(workload)
    cuts = any(isinstance(method, ChannelPruning) for method in methods)
    try:
        if cuts:
            check_prunable(network, noise)
        groups = find_groups(network, noise) if cuts else []
        if name == BASELINE:
            remember_groups(workload.baseline, network)
        layers = weight_layers(network, noise)
        weights = {layer.weight_name: layer.weight.detach() for layer in layers}
        for method in methods:
            if isinstance(method, WeightPruning):
                method.masks(weights, 0.5, "local")
            else:
                method.check(groups)
    except PruningError as error:
        raise ModelError(
            f"pruning test failed for '{_known_as(name, workload)}': {error}; "
            "use another method, or none: --set space.prune.method=none in a search"
        ) from None


def _check_features(name: str, method: str, student: nn.Module, workload: Workload) -> None:
    teacher = workload.teacher if workload.teacher is not None else workload.baseline
    try:
        check_features(student, teacher, _noise(workload), DISTILLATION[method].features)
    except TrialError as error:
        known = _known_as(name, workload)
        raise ModelError(f"distillation {method} of '{known}': {error}") from None


def _known_as(student: str, workload: Workload) -> str:
    return workload.architecture.name if student == BASELINE else student
