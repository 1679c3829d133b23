"""The oldest versions of ONNX, and of ONNX Runtime, that a file needs."""

from collections.abc import Iterable

import onnx
from onnx import ModelProto, NodeProto

LOWEST_OPSET = 13
"""Per-channel `DequantizeLinear`, and axes of `ReduceSum` as an input."""

_IR_OF_OPSET = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}
"""Opset -> IR version of the ONNX release that brought it (onnx/docs/Versioning.md)."""

_RUNTIME_OF_OPSET = {
    13: "1.7", 14: "1.9", 15: "1.10", 16: "1.11", 17: "1.12", 18: "1.14", 19: "1.15", 20: "1.17",
    21: "1.18", 22: "1.20", 23: "1.23",
}  # fmt: skip
"""Opset -> first ONNX Runtime that knows it (its docs/Versioning)."""

_RUNTIME_OF_OPERATOR = {"ConvInteger": "1.31"}
"""Operators later than their opset: 1.23 has no ConvInteger on int8 weights, 1.31 has."""

OLDEST_TRIED = "1.15"
"""No older ONNX Runtime has been tried on files of ours; none older is promised."""


def lower(model: ModelProto) -> ModelProto:
    """Set the lowest opset and IR version that the file's operators allow, in place.

    An operator whose later version has the same inputs and outputs and other attributes only
    where the file gives none is the same operator: what the later versions added are types.
    """
    stated = next(o for o in model.opset_import if o.domain in ("", "ai.onnx"))
    stated.version = max(LOWEST_OPSET, *(_needed(n, stated.version) for n in model.graph.node))
    model.ir_version = _IR_OF_OPSET[stated.version]
    return model


def oldest_runtime(model: ModelProto) -> str:
    """Return the oldest ONNX Runtime that loads the file, such as ``"1.15"``."""
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    kinds = {node.op_type for node in model.graph.node}
    later = [version for kind, version in _RUNTIME_OF_OPERATOR.items() if kind in kinds]
    candidates = (_RUNTIME_OF_OPSET[opset], OLDEST_TRIED, *later)
    return max(candidates, key=lambda version: [int(part) for part in version.split(".")])


def _needed(node: NodeProto, opset: int) -> int:
    """Return the version of ONNX from which on an operator is what it is in ``opset``."""
    if node.op_type == "AveragePool" and any(
        a.name == "ceil_mode" and a.i for a in node.attribute
    ):
        return 19  # it counted the padding otherwise before
    attributes = {attribute.name for attribute in node.attribute}
    needed = onnx.defs.get_schema(node.op_type, opset)
    while needed.since_version > LOWEST_OPSET:
        try:
            older = onnx.defs.get_schema(node.op_type, needed.since_version - 1)
        except onnx.defs.SchemaError:  # it is new
            break
        if not _same(needed, older, attributes):
            break
        needed = older
    return int(needed.since_version)


def _same(newer: onnx.defs.OpSchema, older: onnx.defs.OpSchema, attributes: set[str]) -> bool:
    """Return whether a node with these attributes means the same in both versions."""
    return (
        _ports(newer.inputs) == _ports(older.inputs)
        and _ports(newer.outputs) == _ports(older.outputs)
        and attributes <= older.attributes.keys()
        and all(_default(newer, name) == _default(older, name) for name in older.attributes)
    )


def _ports(ports: Iterable[onnx.defs.OpSchema.FormalParameter]) -> list[tuple[str, object]]:
    return [(port.name, port.option) for port in ports]


def _default(schema: onnx.defs.OpSchema, name: str) -> bytes | None:
    attribute = schema.attributes.get(name)
    return None if attribute is None else attribute.default_value.SerializeToString()
