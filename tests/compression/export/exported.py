"""What the tests of exported files share: networks, their files, and what runs them."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from torch import Tensor, nn

from slimtune.compression.export.onnx_file import NumberFormat, Signature, export_file
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.compression.quantization.protocol import Activations, Quantizer, StoredWeight
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.measurement.runtime import observe_ranges, predict

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = tuple("abcdefghij")
IMAGES = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)


def export(model: nn.Module, quantizer: Quantizer, images: np.ndarray = IMAGES) -> bytes:
    stored = quantizer.weights(model, normalised(images[:2]))
    return export_stored(bake(model, stored), stored, quantizer.activations, images)


def export_stored(
    model: nn.Module,
    stored: Mapping[str, StoredWeight],
    activations: Activations,
    images: np.ndarray = IMAGES,
    **more: Any,
) -> bytes:
    return export_file(
        model,
        Signature((3, *images.shape[1:3]), MEAN, STD, CLASSES),
        NumberFormat(stored, activations, **more),
        calibration=images,
        observe=observe_ranges,
    ).onnx


def normalised(images: np.ndarray) -> Tensor:
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (MEAN, STD))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


def torch_logits(model: nn.Module, images: np.ndarray = IMAGES) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(normalised(images)).numpy()


def run(content: bytes, images: np.ndarray = IMAGES) -> np.ndarray:
    return predict(content, images, mean=MEAN, std=STD)


def optimised_ops(content: bytes, folder: Path) -> Counter[str]:
    """Count what the runtime makes of the file at its default level."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(folder / "optimised.onnx").graph
    return Counter(node.op_type for node in graph.node)


def as_if_trained(model: nn.Module) -> nn.Module:
    """Give normalisations statistics that a trained network could have."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
                module.momentum = None
        model.train()
        model(normalised(IMAGES))
    return model.eval()


def onto_grid(x: Tensor, seen: Tensor) -> Tensor:
    """Round ``x`` to the uint8 grid of the range of ``seen``, by torch's own fake quantizer."""
    low, high = min(float(seen.min()), 0.0), max(float(seen.max()), 0.0)
    scale = (high - low) / 255
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)


def rounded(model: nn.Module, bits: int) -> dict[str, StoredWeight]:
    """Round every weight to the nearest, one symmetric grid a channel."""
    weights = {n: p for n, p in model.named_parameters() if p.ndim > 1 and "shortcut" not in n}
    return {name: fit_max(weight, bits) for name, weight in weights.items()}


def with_levels(model: nn.Module, levels: tuple[int, ...], bits: int) -> dict[str, StoredWeight]:
    """Round every weight to ``levels`` times one scale a tensor."""
    found, choices = {}, np.asarray(levels)
    for name, weight in rounded(model, 8).items():
        values = weight.dequantized()
        scale = np.full(len(values), np.abs(values).max() / max(abs(v) for v in levels))
        steps = values[..., None] / scale[0]
        integers = choices[np.abs(steps - choices).argmin(-1)].astype(np.int8)
        found[name] = StoredWeight(integers, scale.astype(np.float32), bits)
    return found


def as_int8(stored: Mapping[str, StoredWeight]) -> dict[str, StoredWeight]:
    return {name: replace(weight, bits=8) for name, weight in stored.items()}


APOT4 = (-10, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10)


def openvino_logits(content: bytes, images: np.ndarray = IMAGES) -> np.ndarray:
    """Run the file in another runtime, in float32 where it may choose."""
    core = openvino.Core()
    exact = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(content), "CPU", exact)
    logits: np.ndarray = compiled(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0]
    return logits


def pruned(model: nn.Module, amount: float) -> nn.Module:
    """Set the smallest weights of each layer to 0."""
    sparse = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in sparse.parameters():
            if parameter.ndim > 1:
                parameter[parameter.abs() < parameter.abs().quantile(amount)] = 0
    return sparse
