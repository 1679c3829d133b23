"""From a torch network to the bytes of the one file that is measured and shipped."""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from torch import nn

from slimtune.compression.export.graph import (
    Graph,
    float_values,
    fold_batch_norms,
    open_graph,
    prepend_normalisation,
    shorten,
    to_model,
)
from slimtune.compression.export.qdq import (
    activations,
    dequantized,
    fit_bias_range,
    fit_grids,
    fold_into_scales,
    insert_qdq,
    quantize_weights,
)
from slimtune.compression.export.trace import trace
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.errors import ModelError, TrialError

SCHEMA = 1

Observe = Callable[[bytes, np.ndarray, Sequence[str]], Mapping[str, tuple[float, float]]]
"""Runs a file on images and returns the smallest and largest value of each named output."""


def export_onnx(
    model: nn.Module,
    *,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str],
    quantizer: Quantizer,
    calibration: np.ndarray,
    observe: Observe,
) -> bytes:
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
        quantizer: gives the integers of each weight, or None to keep it in float32.
        calibration: uint8 (n, height, width, channels); sets the ranges of activations, and is
            not looked at when no weight is quantized.
        observe: runs a float file on the calibration images.

    Raises:
        ModelError: the network has another number of outputs than there are class names.
        TrialError: the network or its quantization cannot be written as ONNX.
    """
    traced = trace(model, image_shape)
    _check_classes(traced, classes)
    graph = open_graph(traced)
    stored = quantize_weights(graph, quantizer)
    stored = fold_into_scales(stored, fold_batch_norms(graph))
    prepend_normalisation(graph, mean, std)
    if stored:
        # Ranges are observed with the weights that the file will have.
        graph.constants |= {name: dequantized(weight) for name, weight in stored.items()}
        names = activations(graph, stored, float_values(graph, image_shape, len(classes)))
        float_file = to_model(graph, image_shape, len(classes), names).SerializeToString()
        grids = fit_grids(graph, stored, observe(float_file, calibration, names))
        graph = insert_qdq(graph, fit_bias_range(graph, stored, grids), grids)
    return _to_bytes(graph, image_shape, mean, std, classes)


def _to_bytes(
    graph: Graph,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str],
) -> bytes:
    file = to_model(shorten(graph), image_shape, len(classes))
    description = {
        "slimtune.schema": SCHEMA,
        "slimtune.input": {"dtype": "uint8", "layout": "NCHW"},
        "slimtune.classes": list(classes),
        "slimtune.mean": [float(value) for value in mean],
        "slimtune.std": [float(value) for value in std],
    }
    for key, value in description.items():
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        file.metadata_props.add(key=key, value=text)
    try:
        onnx.checker.check_model(file, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().split("\n")[0]
        raise TrialError(f"the exported graph must be valid ONNX, but is not: {reason}") from error
    return file.SerializeToString(deterministic=True)


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
