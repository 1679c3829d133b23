"""What an output channel is tied to, and what can be cut with it: the door to torch-pruning.

Two things of it are used: the dependency graph, and the slicing of layers. A layer that the
graph cannot follow, and all that is tied to it, is named with the reason and left whole.
"""

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.errors import PruningError, shortened
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

index_mapping, shape_infer = tp.dependency.index_mapping, tp.dependency.shape_infer

_CUTTABLE = (_ConvNd, nn.Linear, _BatchNorm, nn.PReLU)
_ROOM = 4
"""So many times the widest layer is what an operation between layers may be wide."""


@dataclass(frozen=True)
class Found:
    """A group and the layer from which torch-pruning reaches all of it."""

    group: ChannelGroup
    root: nn.Module


@dataclass(frozen=True)
class Trace:
    """One forward pass as a dependency graph.

    Attributes:
        graph: torch-pruning's graph.
        names: qualified name of every module.
        order: the modules in the order of their first call.
        entry: the autograd node that stands for the input image.
        output_shape: of the model's output.
        shared: modules that hold a parameter which another module holds as well.
        widest: channels or features of the widest layer.
        lost: nodes at which torch-pruning fails, see `_one_by_one`.
    """

    graph: Any
    names: dict[nn.Module, str]
    order: list[nn.Module]
    entry: Any
    output_shape: torch.Size
    shared: frozenset[nn.Module]
    widest: int
    lost: set[Any]

    def coupled(self, root: nn.Module, indices: Sequence[int]) -> Any:
        """Return torch-pruning's group of everything tied to output channels of ``root``."""
        cut = self.graph.get_pruner_of_module(root).prune_out_channels
        # Sizes change with a cut alone: to work them out before every group takes longest.
        with _instead((index_mapping, "update_index_mapping", lambda graph: None)):
            return guarded(self.graph.get_pruning_group, root, cut, list(indices))

    def cut(self, root: nn.Module, indices: Sequence[int]) -> None:
        """Remove output channels of ``root`` and everything tied to them, in place.

        Raises:
            PruningError: other channels of the same layers would go with them, as where two
                halves of a layer are multiplied; nothing has been cut then.
        """
        group = self.coupled(root, indices)
        for item in group:
            module = item.dep.target.module
            made = module in self.names and _produces(module) and _cuts_outputs(self, item.dep)
            if made and set(item.idxs) != set(indices):
                raise PruningError("its channels are tied to each other")
            if item.dep.target in self.lost:
                raise PruningError(_lost(item.dep.target))
        guarded(group.prune, None, False)
        with _one_by_one(self.lost, self.widest):
            index_mapping.update_index_mapping(self.graph)

    def readers(
        self, root: nn.Module, indices: Sequence[int]
    ) -> Iterator[tuple[Tensor, int, Any]]:
        """Yield each weight that reads output channels of ``root``, its axis and where."""
        for item in self.coupled(root, indices):
            module = item.dep.target.module
            if _reads(module) and not _cuts_outputs(self, item.dep):
                axis = 0 if getattr(module, "transposed", False) else 1
                yield module.weight, axis, item.idxs


@contextmanager
def undisturbed(model: nn.Module, example: Tensor) -> Iterator[None]:
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


def guarded(call: Callable[..., Any], *args: Any) -> Any:
    """Call foreign code, which may raise anything, and raise only `PruningError`."""
    try:
        return call(*args)
    except PruningError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise PruningError(
            "its channels cannot be followed, or forward holds fixed counts of them "
            f"({type(error).__name__}: {reason[:160]})"
        ) from error


class _Bounded(index_mapping._FlattenIndexMapping):  # type: ignore[name-defined]
    """Ends what would multiply indices for ever, as a product of a map with itself does."""

    most = 0

    def __call__(self, idxs: Any) -> Any:
        found = super().__call__(idxs)
        if len(found) > self.most:
            raise PruningError("its channels come back to it again and again")
        return found


@contextmanager
def _instead(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Let modules of torch-pruning use something of ours under a name."""
    usual = [getattr(module, name) for module, name, _ in changes]
    try:
        for module, name, ours in changes:
            setattr(module, name, ours)
        yield
    finally:
        for (module, name, _), theirs in zip(changes, usual, strict=True):
            setattr(module, name, theirs)


@contextmanager
def _one_by_one(lost: set[Any], widest: int) -> Iterator[None]:
    """Let torch-pruning work out sizes and indices node by node, and go on where it fails.

    The nodes where it does are added to ``lost``. Nothing is followed through them: whatever
    reaches one ends there.
    """

    def each(step: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(graph: Any) -> None:
            view = copy.copy(graph)
            for module, node in graph.module2node.items():
                view.module2node = {module: node}
                try:
                    step(view)
                except Exception:
                    lost.add(node)
                    node.dependencies.clear()

        return run

    bounded = type("_Bounded", (_Bounded,), {"most": _ROOM * widest})
    sizes, update = shape_infer.init_shape_information, index_mapping.update_index_mapping
    with (
        warnings.catch_warnings(),
        _instead(
            (index_mapping, "_FlattenIndexMapping", bounded),
            (shape_infer, "init_shape_information", each(sizes)),
            (index_mapping, "update_index_mapping", each(update)),
        ),
    ):
        warnings.filterwarnings("ignore", message="Maximum recursive depth reached")
        yield


def _lost(node: Any) -> str:
    return (
        f"goes through a {_OPERATIONS.get(type(node.module), 'operation')} that cannot be followed"
    )


_OPERATIONS = {
    tp.ops._ConcatOp: "concatenation",
    tp.ops._SplitOp: "split",
    tp.ops._SliceOp: "slice",
    tp.ops._ReshapeOp: "reshape",
}


def trace(model: nn.Module, example: Tensor) -> Trace:
    """Return the graph of one pass over ``example``; ``model`` is in eval mode, with gradients.

    Raises:
        PruningError: the network does not run on it, or cannot be traced at all.
    """
    calls: dict[nn.Module, None] = {}
    hooks = [
        module.register_forward_hook(lambda module, *_: calls.setdefault(module))
        for module in model.modules()
    ]
    # The image has no gradient, so the graph would not contain it; a clone that has one does,
    # and shows which channels are tied to the image.
    image = example.detach().clone().requires_grad_().clone()
    try:
        output = guarded(model, image)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or output.grad_fn is None:
        raise PruningError(
            f"the network must return one differentiable tensor, but got {shortened(output)}"
        )
    graph, lost = tp.DependencyGraph(), set[Any]()
    widest = max((max(p.shape, default=1) for p in model.parameters()), default=1)
    with _one_by_one(lost, widest):
        guarded(
            lambda: graph.build_dependency(
                model, image, forward_fn=lambda network, batch: network(batch), verbose=False
            )
        )
    _forget_results(model)
    names = {module: name for name, module in model.named_modules()}
    shared = _sharing(model)
    return Trace(graph, names, list(calls), image.grad_fn, output.shape, shared, widest, lost)


def _forget_results(model: nn.Module) -> None:
    """Drop what layers keep of a pass (LeViT: its biases): with gradients it cannot be copied."""
    for module in model.modules():
        for name, held in list(vars(module).items()):
            if isinstance(held, Tensor) and not held.is_leaf:
                setattr(module, name, held.detach())
            elif isinstance(held, dict) and name not in ("_parameters", "_buffers", "_modules"):
                for key in [k for k, v in held.items() if isinstance(v, Tensor) and not v.is_leaf]:
                    del held[key]


def _sharing(model: nn.Module) -> frozenset[nn.Module]:
    owners: dict[nn.Parameter, set[nn.Module]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(parameter, set()).add(module)
    return frozenset(m for modules in owners.values() if len(modules) > 1 for m in modules)


def candidates(traced: Trace) -> tuple[list[Found], dict[str, str]]:
    """Return the groups that the graph says can be cut, and why other layers are left whole.

    Returns:
        Groups in the order they are computed, and a reason by the name of each other layer.
    """
    found: list[Found] = []
    whole: dict[str, str] = {}
    seen: set[nn.Module] = set()
    for root in traced.order:
        if root in seen or not _produces(root) or root not in traced.graph.module2node:
            continue
        channels = _channels(root)
        try:
            items = list(traced.coupled(root, range(channels)))
        except PruningError as error:
            whole[traced.names[root]] = str(error)
            continue
        cut = {item.dep.target.module for item in items if _cuts_outputs(traced, item.dep)}
        seen |= cut
        obstacles = (_obstacle(traced, item.dep, _by_channel(item), channels) for item in items)
        reason = next(filter(None, obstacles), None)
        if reason is None:
            found.append(Found(_group(traced, root, items, channels), root))
        else:
            producers = [m for m in traced.order if m in cut and _produces(m)]
            whole |= {traced.names[module]: reason for module in producers}
    return found, whole


def _produces(module: nn.Module) -> bool:
    """Return whether the layer makes new channels: not depthwise, not grouped, not frozen 0/1."""
    if isinstance(module, SelectionConv2d):
        return False
    return isinstance(module, nn.Linear) or (isinstance(module, _ConvNd) and module.groups == 1)


def _channels(module: nn.Module) -> int:
    size = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return int(size)  # type: ignore[arg-type]


def _cuts_outputs(trace: Trace, dep: Any) -> bool:
    cutter = trace.graph.get_pruner_of_module(dep.target.module)
    return bool(dep.handler == cutter.prune_out_channels)


def _obstacle(traced: Trace, dep: Any, indices: Sequence[int], channels: int) -> str | None:
    """Return why this member of a group cannot be cut exactly; None if it can."""
    node, module = dep.target, dep.target.module
    if node in traced.lost:
        return _lost(node)
    if node.grad_fn is traced.entry:
        return "tied to the image"
    if isinstance(module, nn.Parameter):
        return "used with a bare parameter"
    if isinstance(module, tp.ops._OutputOp):
        return OUTPUT
    if module not in traced.names:
        return None  # an operation without parameters
    what = f"{traced.names[module]} ({type(module).__name__})"
    if module in traced.shared:
        return f"{what} shares its weights with another layer"
    if not isinstance(module, _CUTTABLE):
        return f"tied to {what}"
    if isinstance(module, _ConvNd) and module.groups > 1:
        depthwise = module.groups == module.in_channels == module.out_channels
        return None if depthwise else f"tied to {what} of {module.groups} groups"
    if not _cuts_outputs(traced, dep):
        return None
    if not node.outputs:
        return OUTPUT
    whole = isinstance(module, (_BatchNorm, nn.PReLU)) or (
        list(indices) == list(range(channels)) and _channels(module) == channels
    )
    return None if whole else f"tied to {what} channel by other channel"


OUTPUT = "the network's output"
"""Why a classifier stays whole."""


def _group(trace: Trace, root: nn.Module, items: Sequence[Any], channels: int) -> ChannelGroup:
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
