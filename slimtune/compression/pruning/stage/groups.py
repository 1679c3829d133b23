"""Groups of channels that can be cut together, and why other layers cannot be cut.

A layer whose channels the graph cannot follow keeps them all, and so do the layers tied to it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.graph import (
    Trace,
    is_output,
    operation,
    produces,
    reads,
)
from slimtune.compression.pruning.stage.reasons import OUTPUT, passes_through
from slimtune.errors import PruningError

_CUTTABLE = (_ConvNd, nn.Linear, _BatchNorm, nn.PReLU)


def candidates(traced: Trace) -> tuple[list[ChannelGroup], dict[str, str]]:
    """Return the groups that can be cut according to the graph, and why other layers cannot.

    Returns:
        Groups in the order they are computed, and a reason by the name of each other layer.
    """
    groups: list[ChannelGroup] = []
    whole: dict[str, str] = {}
    seen: set[nn.Module] = set()
    for root in traced.order:
        if root in seen or not produces(root) or root not in traced.graph.module2node:
            continue
        channels = _channels(root)
        try:
            items = list(traced.coupled(root, range(channels)))
        except PruningError as error:
            whole[traced.names[root]] = str(error)
            continue
        cut = {item.dep.target.module for item in items if traced.cuts_outputs(item.dep)}
        seen |= cut  # one group is found from each of its producers
        obstacles = (_obstacle(traced, item.dep, _by_channel(item), channels) for item in items)
        reason = next(filter(None, obstacles), None)
        if reason is None:
            groups.append(_group(traced, root, items, channels))
        else:
            producers = [m for m in traced.order if m in cut and produces(m)]
            whole |= {traced.names[module]: reason for module in producers}
    return groups, whole


def _obstacle(traced: Trace, dep: Any, indices: Sequence[int], channels: int) -> str | None:
    """Return why this member of a group cannot be cut exactly; None if it can."""
    node, module = dep.target, dep.target.module
    if node in traced.untraceable:
        return passes_through([operation(node)])
    if node.grad_fn is traced.entry:
        return "tied to the image"
    if isinstance(module, nn.Parameter):
        return "combined with a parameter that belongs to no layer"
    if is_output(node):
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
    if not traced.cuts_outputs(dep):
        return None
    if not node.outputs:
        return OUTPUT
    # A norm may hold other groups' channels too; a producer must hold these, in this order.
    whole = isinstance(module, (_BatchNorm, nn.PReLU)) or (
        list(indices) == list(range(channels)) and _channels(module) == channels
    )
    return None if whole else f"tied to {what}, which has them at other places or others besides"


def _group(trace: Trace, root: nn.Module, items: Sequence[Any], channels: int) -> ChannelGroup:
    order = {module: number for number, module in enumerate(trace.order)}

    def named(keep: Callable[[Any, nn.Module], bool]) -> tuple[tuple[str, nn.Module], ...]:
        modules = {i.dep.target.module for i in items if keep(i.dep, i.dep.target.module)}
        ordered = sorted(modules & order.keys(), key=order.__getitem__)
        return tuple((trace.names[module], module) for module in ordered)

    def consumes(dep: Any, module: nn.Module) -> bool:
        return reads(module) and not trace.cuts_outputs(dep)

    def shares(_: Any, module: nn.Module) -> bool:
        return isinstance(module, _BatchNorm) and module.num_features != channels

    return ChannelGroup(
        name=trace.names[root],
        producers=named(lambda dep, m: produces(m) and trace.cuts_outputs(dep)),
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


def _channels(module: nn.Module) -> int:
    size = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return int(size)  # type: ignore[arg-type]
