"""From a torch network to the bytes of the one file that is measured and shipped."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from torch import nn

from slimtune.compression.export.constants import fold_constants
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
    store_floats,
    weights_in_float,
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
from slimtune.compression.float_weights import FloatWeights
from slimtune.compression.quantization.protocol import Activations, Quantizer, StoredWeight
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
        float_weights: the weights that it holds in float32.
        runtime: the oldest ONNX Runtime that loads it, such as ``"1.15"``.
    """

    onnx: bytes
    weight_bits: dict[str, int]
    float_weights: FloatWeights
    runtime: str


@dataclass(frozen=True)
class Signature:
    """What a file takes and gives.

    Attributes:
        image_shape: (channels, height, width).
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, of pixels scaled to 0..1, above 0.
        classes: one name a logit.
    """

    image_shape: tuple[int, int, int]
    mean: Sequence[float]
    std: Sequence[float]
    classes: Sequence[str]


@dataclass(frozen=True)
class NumberFormat:
    """How a file stores weights and computes.

    Attributes:
        stored: integers of weights, by qualified name; the network has the same values. Other
            weights stay float.
        activations: how the file computes, see `Quantizer.activations`.
        ranges: learned (low, high) of the input of layers, by the name of their weight.
        float_bits: 16 stores in half precision the float weights that are half precision numbers
            exactly; they are computed in float32.
    """

    stored: Mapping[str, StoredWeight] = field(default_factory=dict)
    activations: Activations = "float"
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    float_bits: int = 32

    @classmethod
    def of(
        cls, quantizer: Quantizer, network: nn.Module, stored: Mapping[str, StoredWeight]
    ) -> "NumberFormat":
        """Return the format that a quantizer asks for.

        Args:
            quantizer: the recipe's.
            network: what it prepared, trained.
            stored: the integers of its weights.
        """
        float_bits = 16 if quantizer.bits == 16 else 32
        return cls(stored, quantizer.activations, quantizer.ranges(network), float_bits)


FLOAT32 = NumberFormat()


def export_file(
    model: nn.Module,
    signature: Signature,
    numbers: NumberFormat = FLOAT32,
    *,
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
        signature: of the file.
        numbers: how it stores weights and computes.
        calibration: uint8 (n, height, width, channels); sets the ranges of static activations,
            and is not used otherwise.
        observe: runs a float file on the calibration images.

    Raises:
        ModelError: the network has another number of outputs than there are class names.
        TrialError: the network or its quantization cannot be written as ONNX.
    """
    image_shape, classes = signature.image_shape, signature.classes
    traced = trace(model, image_shape)
    _check_classes(traced, classes)
    graph = open_graph(traced)
    fold_constants(graph, traced)
    write_pads(graph)
    # Folding changes float weights: integers and halves are taken before it, and get its factors.
    integers = kernel_weights(graph, numbers.stored)
    stored = {**other_weights(graph, numbers.stored), **integers}
    halves = half_weights(graph) if numbers.float_bits == 16 else {}
    factors = fold_batch_norms(graph)
    stored = fold_into_scales(stored, factors)
    integers = {name: stored[name] for name in integers}
    prepend_normalisation(graph, signature.mean, signature.std)
    graph.constants |= {name: weight.dequantized() for name, weight in stored.items()}
    if numbers.activations == "static" and integers:
        # Ranges are observed with the weights that the file will have: rounded ones.
        names = values_on_grids(graph, integers, float_values(graph, image_shape, len(classes)))
        float_file = to_model(graph, image_shape, len(classes), names).SerializeToString()
        observed = observe(float_file, calibration, names)
        graph = _on_grids(graph, integers, observed, numbers.ranges)
    elif numbers.activations == "dynamic":
        graph = insert_dynamic(graph, integers)
    parameters = {name: p.numel() for name, p in model.named_parameters() if p.ndim > 1}
    float_weights = weights_in_float(graph, stored, halves, parameters)
    graph = store_floats(graph, stored, halves, factors)
    file = _to_file(graph, signature)
    bits = {name: weight.bits for name, weight in stored.items()}
    content = file.SerializeToString(deterministic=True)
    return Exported(content, bits, float_weights, oldest_runtime(file))


def _on_grids(
    graph: Graph,
    integers: Mapping[str, StoredWeight],
    observed: Mapping[str, tuple[float, float]],
    learned: Mapping[str, tuple[float, float]],
) -> Graph:
    """Return the graph on static uint8 grids.

    Args:
        graph: the float graph.
        integers: the weights that integer kernels read.
        observed: (low, high) of each value on the calibration images.
        learned: (low, high) of the input of layers, by the name of their weight.
    """
    grids = fit_grids(graph, integers, observed, learned)
    clipped = clipped_inputs(graph, integers, grids, learned)
    steps: dict[str, float] = {}
    for node in graph.nodes:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in integers:
            value, weight = node.input[:2]
            step = clipped.get((value, weight), grids[value]).scale
            steps[weight] = min(step, steps.get(weight, step))
    return insert_qdq(graph, fit_bias_range(graph, integers, steps), grids, clipped)


def _to_file(graph: Graph, signature: Signature) -> onnx.ModelProto:
    """Return the graph as a valid ONNX model, with its signature in the metadata."""
    file = lower(to_model(shorten(graph), signature.image_shape, len(signature.classes)))
    description = {
        "slimtune.schema": SCHEMA,
        "slimtune.input": {"dtype": "uint8", "layout": "NCHW"},
        "slimtune.classes": list(signature.classes),
        "slimtune.mean": [float(value) for value in signature.mean],
        "slimtune.std": [float(value) for value in signature.std],
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
