"""Which channels can be removed together, and their physical removal, checked by numbers.

The groups of the dependency graph are tried on copies first. Every removal is compared with the
same network whose layers ignore the removed channels. Groups that fail keep all their channels.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slimtune.compression.network.copies import cloned
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.graph import Trace, trace, undisturbed
from slimtune.compression.pruning.stage.groups import candidates
from slimtune.compression.pruning.stage.reasons import (
    MIXED,
    ONLY_TRAINING,
    OUTPUT,
    passes_through,
    run_cut,
)
from slimtune.errors import PruningError, did_you_mean, shortened

_UNPRUNABLE = "_cannot_be_cut"
"""Attribute of a network that was tried: group -> reason. Copies and pickles keep it."""
_TOLERANCE = 1e-3

Removals = Mapping[str, Sequence[int]]


def find_groups(model: nn.Module, example: Tensor) -> list[ChannelGroup]:
    """Return every set of coupled channels that may be pruned, in the order they are computed.

    Not listed are the model's outputs, channels that are tied to the input image, convolutions
    with 1 < groups < channels, bare and shared parameters, normalisations across channels,
    couplings in which channel i of one layer is not channel i of the next, and groups whose trial
    cut fails, see `unprunable_layers`. Depthwise convolutions are cut with their group but are
    neither producers nor consumers. A batch norm that also covers other groups (after a
    concatenation) is listed in ``shared_norms``.

    Args:
        model: the network, with option-A shortcuts materialised; not changed, except that it
            remembers which groups failed.
        example: one batch, (n, channels, height, width), on the model's device.

    Raises:
        PruningError: the network does not run on ``example`` or cannot be traced.
    """
    return _examined(model, example)[0]


def unprunable_layers(model: nn.Module, example: Tensor) -> dict[str, str]:
    """Return why layers cannot lose channels, by name; the output layer is not listed.

    Args:
        model: as in `find_groups`.
        example: as in `find_groups`.

    Raises:
        PruningError: as `find_groups`.
    """
    return {n: why for n, why in _examined(model, example)[1].items() if why != OUTPUT}


def unprunable_groups(model: nn.Module) -> dict[str, str] | None:
    """Return why groups cannot be cut, by trial cuts; None if none were tried yet."""
    reasons: dict[str, str] | None = model.__dict__.get(_UNPRUNABLE)
    return None if reasons is None else dict(reasons)


def remember_unprunable(model: nn.Module, reasons: Mapping[str, str] | None) -> None:
    """Tell a network the result of trial cuts on a copy of it, which take seconds.

    Args:
        model: not tried yet; its copies remember the result as well.
        reasons: `unprunable_groups` of the copy; None changes nothing.
    """
    if reasons is not None:
        model.__dict__[_UNPRUNABLE] = dict(reasons)


def remove_channels(
    model: nn.Module, example: Tensor, removals: Removals, *, numbers: bool = True
) -> dict[str, list[int]]:
    """Remove channels from every layer they run through, physically and in place.

    Afterwards the network must compute what it computed before with the layers that read the
    channels ignoring them. Groups for which it does not get their channels back. Parameters
    become new objects, so that earlier optimizers are stale. Train or eval mode, requires_grad
    and the random state stay the same.

    Args:
        model: the network, with option-A shortcuts materialised.
        example: one batch, (n, channels, height, width), on the model's device.
        removals: channel indices to remove, by `ChannelGroup.name`; repeats count once.
        numbers: whether the outputs are compared. If not, only their shape is checked, and an
            error leaves the network partly cut.

    Returns:
        The removed channels: ``removals`` sorted, empty for a group that could not be cut.

    Raises:
        PruningError: an unknown group, an index outside it, nothing left of a group, or
            nothing that can be removed; the network is as it was.
    """
    with undisturbed(model, example):
        traced = trace(model, example)
        reasons = model.__dict__.get(_UNPRUNABLE, {})
        groups = {g.name: g for g in candidates(traced)[0] if g.name not in reasons}
        wanted = {name: _indices(name, each, groups) for name, each in removals.items()}
        backup = cloned(model) if numbers else None
        fault = _cut(model, example, wanted, traced, numbers=numbers)
        if fault is None:
            return wanted
        if backup is None:
            raise PruningError(fault)
        # Find the groups at fault on copies of the intact network, and cut only the others.
        bad = _unsound(backup, example, [n for n in wanted if wanted[n]], [wanted])
        model.__dict__[_UNPRUNABLE] = {**model.__dict__.get(_UNPRUNABLE, {}), **bad}
        _restore(model, cloned(backup))
        left = {name: [] if name in bad else indices for name, indices in wanted.items()}
        if not any(left.values()) or _cut(model, example, left, trace(model, example)):
            _restore(model, backup)
            raise PruningError(f"none of the requested channels can be removed: {fault}")
        return left


def check_prunable(model: nn.Module, example: Tensor) -> None:
    """Check that some channels can be removed.

    Args:
        model: as in `find_groups`.
        example: as in `find_groups`.

    Raises:
        PruningError: there is nothing to prune; says why.
    """
    groups, whole = _examined(model, example)
    if any(group.channels > 1 for group in groups):
        return
    reasons = [f"{name}: {why}" for name, why in whole.items() if why != OUTPUT]
    because = f" ({shortened(reasons[0], 160)[1:-1]})" if reasons else ""
    raise PruningError(
        f"the network has no channels that can be removed{because}; do not prune it"
    )


def _examined(model: nn.Module, example: Tensor) -> tuple[list[ChannelGroup], dict[str, str]]:
    with undisturbed(model, example):
        try:
            groups, whole = candidates(trace(model, example))
        except PruningError as error:
            raise PruningError(f"the network cannot be pruned: {error}") from error
        reasons = model.__dict__.get(_UNPRUNABLE)
        if reasons is None:
            sizes = {group.name: group.channels for group in groups}
            names = [name for name, channels in sizes.items() if channels > 1]
            reasons = _unsound(_shaken(model), example, names, _patterns(sizes))
            model.__dict__[_UNPRUNABLE] = reasons
    return [group for group in groups if group.name not in reasons], {**whole, **reasons}


def _patterns(sizes: Mapping[str, int]) -> list[Removals]:
    """Return the trial cuts of each group: every other channel, and the first third.

    The second leaves odd counts at one end, so that the halves of a channel axis become unequal.
    """
    return [
        {name: range(0, channels - 1, 2) for name, channels in sizes.items()},
        {name: range(max(1, channels // 3)) for name, channels in sizes.items()},
    ]


def _unsound(
    model: nn.Module, example: Tensor, names: Sequence[str], patterns: Sequence[Removals]
) -> dict[str, str]:
    """Return the groups whose removal breaks the network, alone or with others, and how.

    Args:
        model: only copies of it are cut.
        example: one batch.
        names: of groups.
        patterns: what is removed of each, at least one.
    """
    trains = _trains(cloned(model), example)

    def fault(chosen: Sequence[str]) -> str | None:
        for pattern in patterns if chosen else ():
            removals, tried = {name: list(pattern[name]) for name in chosen}, cloned(model)
            if reason := _cut(tried, example, removals, trace(tried, example)):
                return reason
            if trains and not _trains(tried, example):
                return ONLY_TRAINING
        return None

    def search(among: Sequence[str]) -> dict[str, str]:
        reason, half = fault(among), len(among) // 2
        if reason is None:
            return {}
        return search(among[:half]) | search(among[half:]) if half else {among[0]: reason}

    # Most networks have no bad group, others few: try all at once, then halves. If the groups that
    # are sound alone fail together, add them one by one.
    if (reason := fault(names)) is None:
        return {}
    half = len(names) // 2
    bad = search(names[:half]) | search(names[half:]) if half else {names[0]: reason}
    good = [name for name in names if name not in bad]
    if fault(good) is None:
        return bad
    kept: list[str] = []
    for name in good:
        if reason := fault([*kept, name]):
            bad[name] = reason
        else:
            kept.append(name)
    return bad


def _cut(
    model: nn.Module, example: Tensor, removals: Removals, traced: Trace, *, numbers: bool = True
) -> str | None:
    """Remove channels in place; return what is wrong with the result, None if nothing."""
    try:
        roots = dict(model.named_modules())
        wanted = {name: list(indices) for name, indices in removals.items() if indices}
        expected = None
        with torch.no_grad():
            if numbers:
                # The expected output: of the same network, whose readers ignore the channels.
                for name, indices in wanted.items():
                    for weight, axis, where in traced.readers(roots[name], indices):
                        at = torch.tensor(where, device=weight.device)
                        weight.data.index_fill_(axis, at, 0.0)
                expected = run_cut(model, example)
            for name, indices in wanted.items():
                traced.cut(roots[name], indices)
            got = run_cut(model, example)
    except PruningError as error:
        return str(error)
    except (KeyError, IndexError):  # of torch-pruning's indices, or a group that went
        return passes_through([])
    if got.shape != traced.output_shape:
        return (
            f"the output shape changed from {tuple(traced.output_shape)} to {tuple(got.shape)}: "
            "forward must not contain fixed channel counts"
        )
    if expected is not None and not _equal(got, expected):
        # Of several groups any may be the one that mixes.
        return traced.mixing(roots[next(iter(wanted))]) if len(wanted) == 1 else MIXED
    return None


def _equal(got: Tensor, expected: Tensor) -> bool:
    scale = float(expected.abs().max())
    close = torch.allclose(got, expected, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)
    return close


def _trains(model: nn.Module, example: Tensor) -> bool:
    """Return whether a network runs in training mode, which may use other parts of it.

    Changes the network: its norms update their statistics.
    """
    try:
        with torch.no_grad():
            model.train()(example)
    except Exception:
        return False
    return True


def _shaken(model: nn.Module) -> nn.Module:
    """Return a copy without parameters that are 0, 1 or equal because of their initialisation.

    Such values hide errors: a norm of scale 0 gives the same output whatever comes before it.
    """
    network = cloned(model)
    generator = torch.Generator().manual_seed(0)

    def near(tensor: Tensor, center: float) -> Tensor:
        return (center + 0.2 * torch.randn(tensor.shape, generator=generator)).to(tensor)

    with torch.no_grad():
        for module in network.modules():
            # Statistics that are still 0 and 1 would hide a norm that lost the wrong channels.
            if isinstance(module, _BatchNorm):
                for name, center in _CENTERS.items():
                    if (tensor := getattr(module, name)) is not None:
                        tensor.copy_(near(tensor, center).abs() if center else near(tensor, 0.0))
        for parameter in network.parameters():
            if parameter.is_floating_point() and bool(
                (parameter == parameter.flatten()[:1]).all()
            ):
                parameter.add_(near(parameter, 0.0))
    return network


_CENTERS = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


def _restore(model: nn.Module, backup: nn.Module) -> None:
    """Give every module of ``model`` back what its copy has; surgery exchanges no modules."""
    for module, saved in zip(model.modules(), backup.modules(), strict=True):
        for name, value in saved.__dict__.items():
            if name not in ("_modules", _UNPRUNABLE) and not name.endswith(
                ("_hooks", "_pre_hooks")
            ):
                module.__dict__[name] = value


def _indices(name: str, indices: Sequence[int], groups: Mapping[str, ChannelGroup]) -> list[int]:
    if name not in groups:
        raise PruningError(f"no group of channels is called '{name}'.{did_you_mean(name, groups)}")
    channels = groups[name].channels
    unique = sorted({int(index) for index in indices})
    if unique and not 0 <= unique[0] <= unique[-1] < channels:
        raise PruningError(
            f"{name}: channel indices must be in 0..{channels - 1}, but got {shortened(unique)}"
        )
    if len(unique) == channels:
        raise PruningError(f"{name}: all {channels} channels would be removed; keep at least 1")
    return unique
