"""Which channels can be removed together, and their physical removal.

The only door to torch-pruning, of which two things are used: the dependency graph, which finds
what an output channel is tied to, and the slicing of layers. Scores, counts and rounding are
slimtune's own. Groups that the slicing cannot cut exactly are left whole, never guessed.
"""

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.errors import PruningError, did_you_mean, shortened
from slimtune.workload.shortcut import SelectionConv2d

# torch-pruning imports timm where it is installed, to count the operations of its layers, which
# slimtune does not ask for: seconds at the start of every worker, and 100 MB.
_hidden = {name: None for name in ("timm",) if name not in sys.modules}
sys.modules.update(_hidden)  # type: ignore[arg-type]
try:
    import torch_pruning as tp
finally:
    for _name in _hidden:
        del sys.modules[_name]

_CUTTABLE = (_ConvNd, nn.Linear, _BatchNorm, nn.PReLU)


def find_groups(model: nn.Module, example: Tensor) -> list[ChannelGroup]:
    """Return every set of coupled channels that may be pruned, in the order they are computed.

    Left whole are the model's outputs, whatever is tied to the input image, convolutions with
    1 < groups < channels, bare parameters, every normalisation across channels, and couplings
    in which channel i of one layer is not channel i of the next. Depthwise convolutions are cut
    with their group but are neither producers nor consumers. A batch norm that also covers
    other groups (after a concatenation) is listed in ``shared_norms``.

    Args:
        model: the network, with option-A shortcuts materialised; it is not changed.
        example: one batch, (n, channels, height, width), on the model's device.

    Raises:
        PruningError: the network does not run on ``example`` or cannot be traced.
    """
    with _undisturbed(model, example):
        return [found.group for found in _find(_trace(model, example))]


def remove_channels(
    model: nn.Module, example: Tensor, removals: Mapping[str, Sequence[int]]
) -> None:
    """Remove channels from every layer they run through, physically and in place.

    Parameters become new objects, so optimizers built before are stale. Train or eval mode,
    requires_grad and the random state are kept. After an error in the surgery itself the
    network is half cut and must be thrown away; an error about ``removals`` leaves it whole.

    Args:
        model: the network, with option-A shortcuts materialised.
        example: one batch, (n, channels, height, width), on the model's device.
        removals: channel indices to remove, by `ChannelGroup.name`; repeats count once.

    Raises:
        PruningError: an unknown group, an index outside it, nothing left of a group, or a
            network that no longer computes outputs of the same shape.
    """
    with _undisturbed(model, example):
        trace = _trace(model, example)
        groups = {found.group.name: found for found in _find(trace)}
        wanted = {name: _valid(name, indices, groups) for name, indices in removals.items()}
        for name, indices in wanted.items():
            if indices:
                _guarded(trace.coupled(groups[name].root, indices).prune, None, False)
        with torch.no_grad():
            shape = _guarded(model, example).shape
        if shape != trace.output_shape:
            raise PruningError(
                f"surgery changed the output shape from {tuple(trace.output_shape)} to "
                f"{tuple(shape)}; the network's forward must not contain fixed channel counts"
            )


def check_prunable(model: nn.Module, example: Tensor) -> None:
    """Cut about half the channels of every group of a copy and compare what it computes.

    The oracle is another copy, not cut, whose layers ignore the same channels (the weights that
    read them are zero): a wrong index anywhere makes the two differ.

    Args:
        model: the network, with option-A shortcuts materialised; it is not changed.
        example: one batch, (n, channels, height, width), on the model's device.

    Raises:
        PruningError: there is nothing to prune, or pruning breaks the network.
    """
    with _undisturbed(model, example):
        removals = {
            found.group.name: list(range(0, found.group.channels - 1, 2))
            for found in _find(_trace(model, example))
        }
        if not any(removals.values()):
            raise PruningError("the network has no channels that can be removed; do not prune it")
        cut, deaf = copy.deepcopy(model), copy.deepcopy(model)
        remove_channels(cut, example, removals)
        _ignore_channels(deaf, example, removals)
        with torch.no_grad():
            got, expected = cut(example), deaf(example)
    scale = float(expected.abs().max())
    if not torch.allclose(got, expected, rtol=1e-3, atol=1e-3 * scale, equal_nan=True):
        raise PruningError(
            "after pruning the network computes something else than without the removed "
            "channels: it mixes channels in a way that cannot be followed; do not prune it"
        )


@dataclass(frozen=True)
class _Trace:
    """One forward pass as a dependency graph.

    Attributes:
        graph: torch-pruning's graph.
        names: qualified name of every module.
        order: the modules in the order of their first call.
        entry: the autograd node that stands for the input image.
        output_shape: of the model's output.
    """

    graph: Any
    names: dict[nn.Module, str]
    order: list[nn.Module]
    entry: Any
    output_shape: torch.Size

    def coupled(self, root: nn.Module, indices: Sequence[int]) -> Any:
        """Return torch-pruning's group of everything tied to output channels of ``root``."""
        cut = self.graph.get_pruner_of_module(root).prune_out_channels
        return _guarded(self.graph.get_pruning_group, root, cut, list(indices))


@dataclass(frozen=True)
class _Found:
    """A group and the layer from which torch-pruning reaches all of it."""

    group: ChannelGroup
    root: nn.Module


@contextmanager
def _undisturbed(model: nn.Module, example: Tensor) -> Iterator[None]:
    """Trace in eval mode with every gradient on, then put modes, flags and random state back.

    torch-pruning traces through autograd: under no_grad it fails, and layers whose parameters
    are frozen are invisible to it; its surgery makes every parameter trainable.
    """
    modes = {module: module.training for module in model.modules()}
    trainable = {
        name: parameter.requires_grad
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }
    devices = [example.device] if example.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        try:
            model.eval()
            for parameter in model.parameters():
                parameter.requires_grad_(parameter.is_floating_point())
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            for name, parameter in model.named_parameters(remove_duplicate=False):
                parameter.requires_grad_(trainable[name])


def _guarded(call: Callable[..., Any], *args: Any) -> Any:
    """Call foreign code, which may raise anything, and raise only `PruningError`."""
    try:
        return call(*args)
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise PruningError(
            "the network cannot be pruned: its channels cannot be followed, or its forward holds "
            f"fixed counts of them, as a channel shuffle does ({type(error).__name__}: "
            f"{reason[:160]})"
        ) from error


def _trace(model: nn.Module, example: Tensor) -> _Trace:
    calls: dict[nn.Module, None] = {}
    hooks = [
        module.register_forward_hook(lambda module, *_: calls.setdefault(module))
        for module in model.modules()
    ]
    # The image has no gradient, so the graph would not contain it; a clone that has one does,
    # and shows which channels are tied to the image.
    image = example.detach().clone().requires_grad_().clone()
    try:
        output = _guarded(model, image)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or output.grad_fn is None:
        raise PruningError(
            f"the network must return one differentiable tensor, but got {shortened(output)}"
        )
    graph = tp.DependencyGraph()
    _guarded(
        lambda: graph.build_dependency(
            model, image, forward_fn=lambda network, batch: network(batch), verbose=False
        )
    )
    names = {module: name for name, module in model.named_modules()}
    return _Trace(graph, names, list(calls), image.grad_fn, output.shape)


def _find(trace: _Trace) -> list[_Found]:
    found, seen = [], set()
    for root in trace.order:
        if root in seen or not _produces(root) or root not in trace.graph.module2node:
            continue
        channels = _channels(root)
        items = list(trace.coupled(root, range(channels)))
        seen |= {item.dep.target.module for item in items if _cuts_outputs(trace, item.dep)}
        if all(_exact(trace, item.dep, _by_channel(item), channels) for item in items):
            found.append(_Found(_group(trace, root, items, channels), root))
    return found


def _produces(module: nn.Module) -> bool:
    """Return whether the layer makes new channels: not depthwise, not grouped, not frozen 0/1."""
    if isinstance(module, SelectionConv2d):
        return False
    return isinstance(module, nn.Linear) or (isinstance(module, _ConvNd) and module.groups == 1)


def _channels(module: nn.Module) -> int:
    size = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return int(size)  # type: ignore[arg-type]


def _cuts_outputs(trace: _Trace, dep: Any) -> bool:
    cutter = trace.graph.get_pruner_of_module(dep.target.module)
    return bool(dep.handler == cutter.prune_out_channels)


def _exact(trace: _Trace, dep: Any, indices: Sequence[int], channels: int) -> bool:
    """Return whether this member of a group can be cut without changing what the rest computes."""
    node, module = dep.target, dep.target.module
    if node.grad_fn is trace.entry or isinstance(module, (nn.Parameter, tp.ops._OutputOp)):
        return False
    if module not in trace.names:
        return True  # an operation without parameters
    if not isinstance(module, _CUTTABLE):
        return False
    if isinstance(module, _ConvNd) and module.groups > 1:
        return module.groups == module.in_channels == module.out_channels
    if not _cuts_outputs(trace, dep):
        return True
    whole = isinstance(module, (_BatchNorm, nn.PReLU)) or (
        list(indices) == list(range(channels)) and _channels(module) == channels
    )
    return whole and bool(node.outputs)  # without outputs it is the classifier


def _group(trace: _Trace, root: nn.Module, items: Sequence[Any], channels: int) -> ChannelGroup:
    order = {module: number for number, module in enumerate(trace.order)}

    def named(keep: Callable[[Any, nn.Module], bool]) -> tuple[tuple[str, nn.Module], ...]:
        modules = {i.dep.target.module for i in items if keep(i.dep, i.dep.target.module)}
        ordered = sorted(modules & order.keys(), key=order.__getitem__)
        return tuple((trace.names[module], module) for module in ordered)

    def consumes(dep: Any, module: nn.Module) -> bool:
        return _reads(module) and not _cuts_outputs(trace, dep)

    def shares(_: Any, module: nn.Module) -> bool:
        return isinstance(module, _BatchNorm) and module.num_features != channels

    return ChannelGroup(
        name=trace.names[root],
        producers=named(lambda dep, m: _produces(m) and _cuts_outputs(trace, dep)),
        norms=named(lambda _, m: isinstance(m, _BatchNorm) and m.num_features == channels),
        consumers=named(consumes),
        channels=channels,
        shared_norms=named(shares),
        positions={
            trace.names[item.dep.target.module]: _by_channel(item)
            for item in items
            if consumes(item.dep, item.dep.target.module)
            or shares(item.dep, item.dep.target.module)
        },
    )


def _by_channel(item: Any) -> tuple[int, ...]:
    """Return the indices that a member of a whole group holds, ordered by the group's channels."""
    pairs = sorted(zip(item.root_idxs, item.idxs, strict=True))
    return tuple(index for _, index in pairs)


def _reads(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, _ConvNd))


def _valid(name: str, indices: Sequence[int], groups: Mapping[str, _Found]) -> list[int]:
    if name not in groups:
        raise PruningError(f"no group of channels is called '{name}'.{did_you_mean(name, groups)}")
    channels = groups[name].group.channels
    unique = sorted({int(index) for index in indices})
    if unique and not 0 <= unique[0] <= unique[-1] < channels:
        raise PruningError(
            f"{name}: channel indices must be in 0..{channels - 1}, but got {shortened(unique)}"
        )
    if len(unique) == channels:
        raise PruningError(f"{name}: all {channels} channels would be removed; keep at least 1")
    return unique


def _ignore_channels(
    model: nn.Module, example: Tensor, removals: Mapping[str, Sequence[int]]
) -> None:
    """Zero the weights that read the channels in ``removals``, in place, without cutting."""
    with _undisturbed(model, example):
        trace = _trace(model, example)
        roots = {found.group.name: found.root for found in _find(trace)}
        for name, indices in removals.items():
            for item in trace.coupled(roots[name], indices) if indices else ():
                module = item.dep.target.module
                if _reads(module) and not _cuts_outputs(trace, item.dep):
                    axis = 0 if getattr(module, "transposed", False) else 1
                    module.weight.data.index_fill_(
                        axis, torch.tensor(item.idxs, device=module.weight.device), 0.0
                    )
