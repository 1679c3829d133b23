"""From a torch network to the bytes of the one file that is measured and shipped."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from torch import nn

from slimtune.compression.export.constants import carry_out
from slimtune.compression.export.graph import (
    Graph,
    float_values,
    fold_batch_norms,
    open_graph,
    prepend_normalisation,
    shorten,
    to_model,
)
from slimtune.compression.export.grids import clipped_inputs, fit_grids, values_on_grids
from slimtune.compression.export.kernels import (
    half_weights,
    insert_dynamic,
    left_float,
    store_floats,
)
from slimtune.compression.export.padding import write_pads
from slimtune.compression.export.qdq import insert_qdq
from slimtune.compression.export.trace import trace
from slimtune.compression.export.versions import lower, oldest_runtime
from slimtune.compression.export.weights import (
    fit_bias_range,
    fold_into_scales,
    kernel_weights,
    other_weights,
)
from slimtune.compression.left_out import LeftOut
from slimtune.compression.quantization.protocol import Activations, StoredWeight
from slimtune.errors import ModelError, TrialError

SCHEMA = 1

Observe = Callable[[bytes, np.ndarray, Sequence[str]], Mapping[str, tuple[float, float]]]
"""Runs a file on images and returns the smallest and largest value of each named output."""


@dataclass(frozen=True)
class Exported:
    """A file, and what is in it.

    Attributes:
        onnx: its bytes.
        weight_bits: bits of each weight that it holds as integers, by qualified name.
        left_out: the weights that it holds in float32.
        runtime: the oldest ONNX Runtime that loads it, such as ``"1.15"``.
    """

    onnx: bytes
    weight_bits: dict[str, int]
    left_out: LeftOut
    runtime: str


def export_onnx(model: nn.Module, **settings: Any) -> bytes:
    """Return the bytes that `export_file` makes, whose arguments it takes."""
    return export_file(model, **settings).onnx


def export_file(
    model: nn.Module,
    *,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str],
    stored: Mapping[str, StoredWeight],
    activations: Activations = "float",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    float_bits: int = 32,
    calibration: np.ndarray,
    observe: Observe,
) -> Exported:
    """Return ``model`` as one ONNX file, with its input normalisation and its quantization.

    The file takes ``images``, uint8 (n, channels, height, width) as they are, and gives
    ``logits``, float32 (n, classes). Batch normalisations are folded. The same network gives the
    same bytes, in any process.

    Args:
        model: maps normalised float32 images to logits; used in eval mode and not modified.
            Fake quantizers must have been taken out, so that parameters have their own names.
        image_shape: (channels, height, width).
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, of pixels scaled to 0..1, above 0.
        classes: one name a logit.
        stored: integers of weights, by qualified name; ``model`` has the same values. Others
            stay float.
        activations: how the file computes, see `Quantizer.activations`.
        ranges: learned (low, high) of the input of layers, by the name of their weight.
        float_bits: 16 stores float weights in half precision, those of ``model`` that are half
            precision numbers exactly; computed in float32.
        calibration: uint8 (n, height, width, channels); sets the ranges of static activations,
            and is not looked at otherwise.
        observe: runs a float file on the calibration images.

    Raises:
        ModelError: the network has another number of outputs than there are class names.
        TrialError: the network or its quantization cannot be written as ONNX.
    """
    traced = trace(model, image_shape)
    _check_classes(traced, classes)
    graph = open_graph(traced)
    carry_out(graph, traced)
    write_pads(graph)
    integers = kernel_weights(graph, stored)
    stored = {**other_weights(graph, stored), **integers}
    halves = half_weights(graph) if float_bits == 16 else {}
    factors = fold_batch_norms(graph)
    stored = fold_into_scales(stored, factors)
    integers = {name: stored[name] for name in integers}
    prepend_normalisation(graph, mean, std)
    graph.constants |= {name: weight.dequantized() for name, weight in stored.items()}
    if activations == "static" and integers:
        # Ranges are observed with the weights that the file will have.
        names = values_on_grids(graph, integers, float_values(graph, image_shape, len(classes)))
        float_file = to_model(graph, image_shape, len(classes), names).SerializeToString()
        seen = observe(float_file, calibration, names)
        graph = _on_grids(graph, integers, seen, ranges or {})
    elif activations == "dynamic":
        graph = insert_dynamic(graph, integers)
    parameters = {name: p.numel() for name, p in model.named_parameters() if p.ndim > 1}
    left_out = left_float(graph, stored, halves, parameters)
    graph = store_floats(graph, stored, halves, factors)
    file = _to_file(graph, image_shape, mean, std, classes)
    bits = {name: weight.bits for name, weight in stored.items()}
    content = file.SerializeToString(deterministic=True)
    return Exported(content, bits, left_out, oldest_runtime(file))


def _on_grids(
    graph: Graph,
    integers: Mapping[str, StoredWeight],
    seen: Mapping[str, tuple[float, float]],
    learned: Mapping[str, tuple[float, float]],
) -> Graph:
    """Return the graph on static uint8 grids."""
    grids = fit_grids(graph, integers, seen, learned)
    clipped = clipped_inputs(graph, integers, grids, learned)
    steps: dict[str, float] = {}
    for node in graph.nodes:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in integers:
            value, weight = node.input[:2]
            step = clipped.get((value, weight), grids[value]).scale
            steps[weight] = min(step, steps.get(weight, step))
    return insert_qdq(graph, fit_bias_range(graph, integers, steps), grids, clipped)


def _to_file(
    graph: Graph,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str],
) -> onnx.ModelProto:
    file = lower(to_model(shorten(graph), image_shape, len(classes)))
    description = {
        "slimtune.schema": SCHEMA,
        "slimtune.input": {"dtype": "uint8", "layout": "NCHW"},
        "slimtune.classes": list(classes),
        "slimtune.mean": [float(value) for value in mean],
        "slimtune.std": [float(value) for value in std],
        "slimtune.onnxruntime": f">={oldest_runtime(file)}",
    }
    for key, value in description.items():
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        file.metadata_props.add(key=key, value=text)
    try:
        onnx.checker.check_model(file, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().split("\n")[0]
        raise TrialError(f"the exported graph must be valid ONNX, but is not: {reason}") from error
    return file


def _check_classes(traced: onnx.ModelProto, classes: Sequence[str]) -> None:
    shape = traced.graph.output[0].type.tensor_type.shape.dim
    logits = shape[-1].dim_value if len(shape) == 2 else 0
    if len(shape) == 2 and logits in (0, len(classes)):
        return
    sizes = tuple(d.dim_value or d.dim_param for d in shape)
    raise ModelError(
        f"a network must give one logit a class, (n, {len(classes)}), but gives {sizes}; "
        "build it for this dataset"
    )
