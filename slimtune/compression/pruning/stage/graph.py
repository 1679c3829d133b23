"""The dependency graph of a network's channels. Only this module imports torch-pruning.

It uses torch-pruning for two things: the dependency graph, and cutting channels out of layers.
"""

import copy
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from slimtune.compression.pruning.stage.reasons import (
    ENDLESS,
    TIED_TO_EACH_OTHER,
    mixed,
    passes_through,
)
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

_ROOM = 4
"""An operation between layers may have at most so many times the width of the widest layer."""


@dataclass(frozen=True)
class Trace:
    """One forward pass as a dependency graph.

    Attributes:
        graph: torch-pruning's graph.
        names: qualified name of every module.
        order: the modules in the order of their first call.
        entry: the autograd node of the input image.
        output_shape: of the model's output.
        shared: modules that hold a parameter which another module holds as well.
        widest: channels or features of the widest layer.
        untraceable: nodes at which torch-pruning fails, see `_one_by_one`.
    """

    graph: Any
    names: dict[nn.Module, str]
    order: list[nn.Module]
    entry: Any
    output_shape: torch.Size
    shared: frozenset[nn.Module]
    widest: int
    untraceable: set[Any]

    def coupled(self, root: nn.Module, indices: Sequence[int]) -> Any:
        """Return torch-pruning's group of everything tied to output channels of ``root``."""
        # Sizes change only with a cut. Computing them again for every group would take longest.
        with _replaced((index_mapping, "update_index_mapping", lambda graph: None)):
            return self._followed(
                lambda: self.graph.get_pruning_group(
                    root, self.graph.get_pruner_of_module(root).prune_out_channels, list(indices)
                ),
                root,
            )

    def cut(self, root: nn.Module, indices: Sequence[int]) -> None:
        """Remove output channels of ``root`` and everything tied to them, in place.

        Raises:
            PruningError: other channels of the same layers would be removed with them, as when
                two halves of a layer are multiplied; nothing is cut then.
        """
        group = self.coupled(root, indices)
        for item in group:
            module = item.dep.target.module
            producer = module in self.names and produces(module) and self.cuts_outputs(item.dep)
            if producer and set(item.idxs) != set(indices):
                raise PruningError(TIED_TO_EACH_OTHER)
            if item.dep.target in self.untraceable:
                raise PruningError(passes_through([operation(item.dep.target)]))
        self._followed(lambda: group.prune(None, False), root)
        # The cut changed the sizes of concatenations, splits and reshapes for the next one.
        with _one_by_one(self.untraceable, self.widest):
            index_mapping.update_index_mapping(self.graph)

    def readers(
        self, root: nn.Module, indices: Sequence[int]
    ) -> Iterator[tuple[Tensor, int, Any]]:
        """Yield each weight that reads output channels of ``root``, its axis and where."""
        for item in self.coupled(root, indices):
            module = item.dep.target.module
            if reads(module) and not self.cuts_outputs(item.dep):
                # Transposed convolutions hold their inputs first: (in, out/groups, ...).
                axis = 0 if getattr(module, "transposed", False) else 1
                yield module.weight, axis, item.idxs

    def cuts_outputs(self, dep: Any) -> bool:
        """Return whether a member of a group loses output channels, not inputs."""
        cutter = self.graph.get_pruner_of_module(dep.target.module)
        return bool(dep.handler == cutter.prune_out_channels)

    def mixing(self, root: nn.Module) -> str:
        """Return in words which functions lie between a layer and the layers that read it."""
        steps, readers = self._path(root)
        names = [str(step.grad_fn.name()) for step in steps if step.grad_fn is not None]
        functions = [re.sub(r"Backward\d*$", "", name) for name in names]
        odd = [name for name in functions if name.lower() not in _PLAIN]
        return mixed(odd, {self.names[each]: each for each in readers})

    def _followed(self, step: Callable[[], Any], root: nn.Module) -> Any:
        """Return what torch-pruning, which may raise anything, makes of channels of ``root``."""
        try:
            return step()
        except PruningError:
            raise
        except Exception as error:
            steps, _ = self._path(root)
            names = [operation(node) for node in steps if type(node.module) in _OPERATIONS]
            raise PruningError(passes_through(names)) from error

    def _path(self, root: nn.Module) -> tuple[list[Any], list[nn.Module]]:
        """Return the nodes between a layer and its readers, the nearest first, and the readers."""
        nodes, readers = [self.graph.module2node[root]], dict[nn.Module, None]()
        for node in nodes:  # which grows while the loop runs: breadth first
            for following in node.outputs:
                if reads(following.module):
                    readers[following.module] = None
                elif following not in nodes:
                    nodes.append(following)
        return nodes[1:], list(readers)


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


class _Bounded(index_mapping._FlattenIndexMapping):  # type: ignore[name-defined]
    """Stops an endless growth of indices, as for the product of a map with itself."""

    most = 0

    def __call__(self, idxs: Any) -> Any:
        indices = super().__call__(idxs)
        if len(indices) > self.most:
            raise PruningError(ENDLESS)
        return indices


@contextmanager
def _replaced(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Replace attributes of torch-pruning's modules for the time of the block."""
    usual = [getattr(module, name) for module, name, _ in changes]
    try:
        for module, name, ours in changes:
            setattr(module, name, ours)
        yield
    finally:
        for (module, name, _), theirs in zip(changes, usual, strict=True):
            setattr(module, name, theirs)


@contextmanager
def _one_by_one(untraceable: set[Any], widest: int) -> Iterator[None]:
    """Let torch-pruning compute sizes and indices node by node, and continue when one fails.

    Nodes that fail are added to ``untraceable``, and no channel is followed through them.
    """

    def each(step: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(graph: Any) -> None:
            view = copy.copy(graph)
            for module, node in graph.module2node.items():
                view.module2node = {module: node}  # so that the step sees this one alone
                try:
                    step(view)
                except Exception:
                    untraceable.add(node)
                    node.dependencies.clear()

        return run

    # torch-pruning creates the mappings itself, so the bound must be an attribute of the class.
    bounded = type("_Bounded", (_Bounded,), {"most": _ROOM * widest})
    sizes, update = shape_infer.init_shape_information, index_mapping.update_index_mapping
    with (
        warnings.catch_warnings(),
        _replaced(
            (index_mapping, "_FlattenIndexMapping", bounded),
            (shape_infer, "init_shape_information", each(sizes)),
            (index_mapping, "update_index_mapping", each(update)),
        ),
    ):
        warnings.filterwarnings("ignore", message="Maximum recursive depth reached")
        yield


_OPERATIONS = {
    tp.ops._ConcatOp: "concatenation",
    tp.ops._SplitOp: "split",
    tp.ops._SliceOp: "slice",
    tp.ops._ReshapeOp: "reshape",
    tp.ops._UnbindOp: "unbind",
    tp.ops._ExpandOp: "expand",
}


_PLAIN = frozenset(
    "relu hardtanh silu gelu sigmoid hardswish hardsigmoid leakyrelu elu add mul sub div mean "
    "clone nativebatchnorm cudnnbatchnorm maxpool2dwithindices avgpool2d adaptiveavgpool2d".split()
)
"""Autograd's names of functions that keep channels apart: they explain nothing."""


def operation(node: Any) -> str:
    """Return what a node between layers does, in a word; ``"operation"`` if it has no name."""
    return _OPERATIONS.get(type(node.module), "operation")


def is_output(node: Any) -> bool:
    """Return whether a node stands for what the network returns."""
    return isinstance(node.module, tp.ops._OutputOp)


def produces(module: nn.Module) -> bool:
    """Return whether the layer makes new channels: not depthwise, not grouped, not frozen 0/1."""
    if isinstance(module, SelectionConv2d):
        return False
    return isinstance(module, nn.Linear) or (isinstance(module, _ConvNd) and module.groups == 1)


def reads(module: nn.Module) -> bool:
    """Return whether the layer has a weight for each channel that it is given."""
    return isinstance(module, (nn.Linear, _ConvNd))


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
    # The graph contains only tensors with a gradient. A clone of the image gets one, so that the
    # graph shows which channels are tied to the image.
    image = example.detach().clone().requires_grad_().clone()
    try:
        output = model(image)
    except Exception as error:
        shape = tuple(example.shape)
        raise PruningError(
            f"it does not run on a batch of shape {shape}: {_first_line(error)}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor) or output.grad_fn is None:
        raise PruningError(
            f"the network must return one differentiable tensor, but got {shortened(output)}"
        )
    graph, untraceable = tp.DependencyGraph(), set[Any]()
    widest = max((max(p.shape, default=1) for p in model.parameters()), default=1)
    with _one_by_one(untraceable, widest):
        try:
            graph.build_dependency(
                model, image, forward_fn=lambda network, batch: network(batch), verbose=False
            )
        except Exception as error:
            raise PruningError(f"its operations cannot be traced: {_first_line(error)}") from error
    _forget_results(model)
    names = {module: name for name, module in model.named_modules()}
    shared = _sharing(model)
    return Trace(
        graph, names, list(calls), image.grad_fn, output.shape, shared, widest, untraceable
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no reason given").splitlines()[0][:160]


def _forget_results(model: nn.Module) -> None:
    """Drop tensors that layers keep of a pass (LeViT: its biases): a gradient prevents copying."""
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
