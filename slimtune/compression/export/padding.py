"""Writes padding as numbers, because ONNX Runtime refuses ``auto_pad`` with dilation."""

from onnx import NodeProto, helper

from slimtune.compression.export.graph import Graph, attributes


def write_pads(graph: Graph) -> None:
    """Give every convolution that leaves its padding to the runtime the numbers, in place.

    With stride 1, ``SAME_UPPER`` pads ``dilation * (kernel - 1)`` zeros an axis, the odd one at
    the end and ``SAME_LOWER`` at the beginning; ``VALID`` pads none. With another stride the
    numbers depend on the image, and the operator stays as it is.
    """
    for node in graph.nodes:
        mode = attributes(node).get("auto_pad", b"NOTSET").decode()
        if node.op_type != "Conv" or mode == "NOTSET" or node.input[1] not in graph.constants:
            continue
        pads = _pads(node, mode, graph.constants[node.input[1]].shape[2:])
        if pads is not None:
            kept = [a for a in node.attribute if a.name not in ("auto_pad", "pads")]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("pads", pads)])


def _pads(node: NodeProto, mode: str, kernel: tuple[int, ...]) -> list[int] | None:
    """Return the zeros before each axis, then those behind."""
    values, axes = attributes(node), len(kernel)
    if mode == "VALID":
        return [0] * (2 * axes)
    if any(stride != 1 for stride in values.get("strides", [])):
        return None
    dilations = values.get("dilations") or [1] * axes
    total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return [*less, *more] if mode == "SAME_UPPER" else [*more, *less]
