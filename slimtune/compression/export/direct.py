"""Networks of usual layers as an ONNX graph, written straight from their modules.

torch's exporters take some 0.1 to 7 seconds for a ResNet-20, most of them in passes over a graph
of hundreds of small operators. Here `torch.fx` runs the network's own code once on symbols, which
takes a tenth of the faster exporter's time, and each layer becomes the node that the TorchScript
exporter writes for it, so that the file is the same to the byte. Networks with anything that is
not in the tables below are left to the exporters.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
import torch.fx
import torch.nn.functional as F
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from slimtune.workload.shortcut import SelectionConv2d


def write_directly(
    network: nn.Module, example: torch.Tensor, *, read: str, give: str, opset: int
) -> onnx.ModelProto | None:
    """Return the graph of ``network``, or None if it is not made of usual layers alone.

    Args:
        network: in eval mode, float32, on the CPU; not modified.
        example: two images.
        read: name of the input.
        give: name of the output, logits (n, classes).
        opset: version of the standard operators, 13 to 23.
    """
    if any(_is_unusual(module) for module in network.modules()):
        return None
    try:
        traced = _Tracer().trace(network)
        classes = network(example).shape[1:]
        writer = _Writer(network, read, give)
        for node in traced.nodes:
            writer.add(node)
    except Exception:  # torch.fx runs foreign code and raises whatever that raises
        return None
    body = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info(read, TensorProto.FLOAT, ["n", *example.shape[1:]])],
        [helper.make_tensor_value_info(give, TensorProto.FLOAT, ["n", *classes])],
        writer.initializers(),
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)])


def _is_unusual(module: nn.Module) -> bool:
    """Return whether calling the module does more than its forward, which tracing would miss."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    unseen = any(not getattr(hook, "keeps_tensors", False) for hook in hooks)
    return module.training or unseen or isinstance(module, torch.fx.GraphModule)


class _Refused(Exception):
    """The network does something that is not in the tables."""


class _Tracer(torch.fx.Tracer):
    """Looks into every module but the layers of `_LAYERS`."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return type(module) in _LAYERS


@dataclass(frozen=True)
class _Value:
    """A value of the graph: its name, its number of axes, and whether it may share memory."""

    name: str
    axes: int
    shares: bool = False


@dataclass
class _Writer:
    """Turns nodes of torch.fx into nodes of ONNX, in the order in which they are computed."""

    network: nn.Module
    read: str
    give: str
    nodes: list[NodeProto] = field(default_factory=list)
    values: dict[torch.fx.Node, _Value] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    used: dict[str, torch.Tensor] = field(default_factory=dict)
    outputs: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stored = [*self.network.named_parameters(), *self.network.named_buffers()]
        self.names = {id(tensor): name for name, tensor in stored}

    def add(self, node: torch.fx.Node) -> None:
        """Write one node.

        Raises:
            _Refused: it cannot be written as the exporters would.
        """
        if node.op == "placeholder":
            _require(not self.values)  # one input
            self.values[node] = _Value(self.read, 4)
        elif node.op == "output":
            _require(isinstance(node.args[0], torch.fx.Node))
            self._finish(self.values[node.args[0]])  # type: ignore[index]
        else:
            _require(bool(node.users))  # what nobody reads, exporters leave out
            self.values[node] = self._written(node)

    def initializers(self) -> list[TensorProto]:
        """Return the parameters and buffers that the nodes read."""
        tensors = {name: t.detach().contiguous().numpy() for name, t in self.used.items()}
        return [numpy_helper.from_array(value, name) for name, value in tensors.items()]

    def emit(self, kind: str, inputs: Sequence[str], axes: int, **attributes: Any) -> _Value:
        """Return the output of a node, which is added if there is none like it."""
        # The exporters merge equal nodes, and files are to be the same whoever wrote the graph.
        node = (kind, *inputs, str(attributes))
        if node not in self.outputs:
            self.outputs[node] = f"value_{len(self.nodes)}"
            outputs = [self.outputs[node]]
            self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return _Value(self.outputs[node], axes)

    def constant(self, tensor: torch.Tensor) -> str:
        """Return the name of a parameter or buffer: shared ones have one."""
        name = self.names[id(tensor)]
        self.used[name] = tensor
        return name

    def _written(self, node: torch.fx.Node) -> _Value:
        if node.op == "call_module":
            layer = self.network.get_submodule(str(node.target))
            _require(len(node.args) == 1 and not node.kwargs)
            value = self._read(node.args[0])
            self._check_in_place(node, getattr(layer, "inplace", False))
            return _LAYERS[type(layer)](self, layer, value)
        _require(node.op in ("call_function", "call_method"))
        call = _CALLS.get(node.target)
        if call is None:
            raise _Refused
        self._check_in_place(node, node.target is operator.iadd or node.kwargs.get("inplace"))
        return call(self, node)

    def _read(self, argument: Any) -> _Value:
        _require(isinstance(argument, torch.fx.Node))
        return self.values[argument]

    def _check_in_place(self, node: torch.fx.Node, in_place: Any) -> None:
        """Refuse to overwrite what something else reads."""
        if in_place:
            first = node.args[0]
            _require(isinstance(first, torch.fx.Node) and len(first.users) == 1)
            _require(not self._read(first).shares)

    def _finish(self, last: _Value) -> None:
        # The last node is renamed, so that it must be the one that computes what is returned.
        _require(last.axes == 2 and bool(self.nodes) and self.nodes[-1].output[0] == last.name)
        self.nodes[-1].output[0] = self.give


def _require(condition: bool) -> None:
    if not condition:
        raise _Refused


def _conv(writer: _Writer, layer: Any, value: _Value) -> _Value:
    padded = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    _require(value.axes == 4 and padded)
    inputs = [value.name, writer.constant(layer.weight)]
    inputs += [writer.constant(layer.bias)] if layer.bias is not None else []
    return writer.emit(
        "Conv",
        inputs,
        4,
        dilations=list(layer.dilation),
        group=layer.groups,
        kernel_shape=list(layer.kernel_size),
        pads=[*layer.padding, *layer.padding],
        strides=list(layer.stride),
    )


def _norm(writer: _Writer, layer: Any, value: _Value) -> _Value:
    _require(value.axes == 4 and layer.affine and layer.track_running_stats)
    _require(layer.momentum is not None)
    stored = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    return writer.emit(
        "BatchNormalization",
        [value.name, *map(writer.constant, stored)],
        4,
        epsilon=layer.eps,
        momentum=1 - layer.momentum,
        training_mode=0,
    )


def _linear(writer: _Writer, layer: Any, value: _Value) -> _Value:
    _require(value.axes == 2 and layer.bias is not None)
    inputs = [value.name, writer.constant(layer.weight), writer.constant(layer.bias)]
    return writer.emit("Gemm", inputs, 2, alpha=1.0, beta=1.0, transB=1)


def _relu(writer: _Writer, _: Any, value: _Value) -> _Value:
    return writer.emit("Relu", [value.name], value.axes)


def _global_pool(writer: _Writer, layer: Any, value: _Value) -> _Value:
    _require(value.axes == 4 and layer.output_size in (1, (1, 1)))
    return writer.emit("GlobalAveragePool", [value.name], 4)


def _max_pool(writer: _Writer, layer: Any, value: _Value) -> _Value:
    _require(value.axes == 4 and not layer.return_indices)
    pads = _pair(layer.padding)
    return writer.emit(
        "MaxPool",
        [value.name],
        4,
        ceil_mode=int(layer.ceil_mode),
        dilations=_pair(layer.dilation),
        kernel_shape=_pair(layer.kernel_size),
        pads=[*pads, *pads],
        strides=_pair(layer.stride),
    )


def _flattened(writer: _Writer, value: _Value, start: Any, end: Any) -> _Value:
    _require(value.axes == 4 and (start, end) == (1, -1))
    flat = writer.emit("Flatten", [value.name], 2, axis=1)
    return _Value(flat.name, 2, shares=True)


def _flatten(writer: _Writer, layer: Any, value: _Value) -> _Value:
    return _flattened(writer, value, layer.start_dim, layer.end_dim)


def _same(_: _Writer, __: Any, value: _Value) -> _Value:
    return _Value(value.name, value.axes, shares=True)


def _call_relu(writer: _Writer, node: torch.fx.Node) -> _Value:
    _require(len(node.args) == 1 and not set(node.kwargs) - {"inplace"})
    return _relu(writer, None, writer._read(node.args[0]))


def _call_add(writer: _Writer, node: torch.fx.Node) -> _Value:
    _require(len(node.args) == 2 and not node.kwargs)
    first, second = (writer._read(argument) for argument in node.args)
    _require(first.axes == second.axes)
    return writer.emit("Add", [first.name, second.name], first.axes)


def _call_flatten(writer: _Writer, node: torch.fx.Node) -> _Value:
    _require(not set(node.kwargs) - {"start_dim", "end_dim"})
    value, *ends = node.args
    start, end = [*ends, *[node.kwargs.get("start_dim", 0)][len(ends) :], -1][:2]
    return _flattened(writer, writer._read(value), start, node.kwargs.get("end_dim", end))


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


_LAYERS: dict[type[nn.Module], Callable[[_Writer, Any, _Value], _Value]] = {
    nn.Conv2d: _conv,
    SelectionConv2d: _conv,
    nn.BatchNorm2d: _norm,
    nn.Linear: _linear,
    nn.ReLU: _relu,
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.MaxPool2d: _max_pool,
    nn.Flatten: _flatten,
    nn.Identity: _same,
    nn.Dropout: _same,
}
_CALLS: dict[Any, Callable[[_Writer, torch.fx.Node], _Value]] = {
    F.relu: _call_relu,
    torch.relu: _call_relu,
    "relu": _call_relu,
    operator.add: _call_add,
    operator.iadd: _call_add,
    torch.add: _call_add,
    torch.flatten: _call_flatten,
    "flatten": _call_flatten,
}
