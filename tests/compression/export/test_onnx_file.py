import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.quantization import Int8Static, NoQuantization
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.errors import ModelError
from slimtune.measurement.accuracy import check_parity, top1_agreement
from slimtune.workload.zoo.cifar_resnet import CifarResNet
from tests.compression.export.exported import (
    CLASSES,
    IMAGES,
    MEAN,
    STD,
    as_if_trained,
    export,
    export_stored,
    normalised,
    onto_grid,
    optimised_ops,
    rounded,
    run,
    torch_logits,
)


def test_a_float_file_computes_what_the_network_computes(resnet: nn.Module) -> None:
    logits = run(export(resnet, NoQuantization()))
    np.testing.assert_allclose(logits, torch_logits(resnet), atol=1e-4)
    check_parity(torch_logits(resnet), logits, quantized=False)


def test_all_of_an_int8_resnet20_runs_on_integer_kernels(
    resnet: nn.Module, tmp_path: Path
) -> None:
    content = export(resnet, Int8Static())
    ops = optimised_ops(content, tmp_path)
    assert ops["QLinearConv"] == 19 + 2  # and the two shortcuts that select channels
    assert (ops["QLinearAdd"], ops["QGemm"], ops["QLinearGlobalAveragePool"]) == (9, 1, 1)
    assert not ops.keys() & {"Conv", "Gemm", "Relu", "DequantizeLinear", "BatchNormalization"}
    assert ops["QuantizeLinear"] == 1  # of the normalised image
    check_parity(torch_logits(resnet), run(content), quantized=True)


def test_an_int8_file_takes_a_byte_a_weight_and_little_more(resnet: nn.Module) -> None:
    weights = sum(p.numel() for p in resnet.parameters() if p.ndim > 1)
    channels = sum(m.num_features for m in resnet.modules() if isinstance(m, nn.BatchNorm2d))
    selections = 32 * 16 + 64 * 32
    numbers = weights + selections + 8 * channels  # a scale and a bias a channel
    assert len(export(resnet, Int8Static())) < numbers + 8_000
    assert len(export(resnet, NoQuantization())) < 4 * (weights + selections + channels) + 5_000


def test_int8_logits_are_those_of_fake_quantization_in_torch() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3)
    last = nn.Linear(8 * 30 * 30, 10)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), last)
    content, exact = export(model, Int8Static()), torch_logits(model)
    with torch.no_grad():
        for layer in (first, second, last):
            scale = layer.weight.abs().flatten(1).amax(1) / 127
            zeros = torch.zeros(len(scale), dtype=torch.int32)
            layer.weight.copy_(
                torch.fake_quantize_per_channel_affine(layer.weight, scale, zeros, 0, -127, 127)
            )
        # Ranges are those of the network with rounded weights and exact activations.
        images = normalised(IMAGES)
        after_first = first(images).relu()
        after_second = second(after_first).relu()
        x = onto_grid(images, images)
        x = onto_grid(first(x).relu(), after_first)
        x = onto_grid(second(x).relu(), after_second)
        simulated = last(x.flatten(1)).numpy()
    # Values beside a tie may round the other way, which is far less than the rounding itself.
    difference, noise = run(content) - simulated, simulated - exact
    assert np.std(difference) < 0.1 * np.std(noise)


@pytest.mark.parametrize("quantizer", [NoQuantization(), Int8Static()])
def test_dead_and_nearly_dead_channels_export(quantizer: Quantizer) -> None:
    torch.manual_seed(0)
    model = as_if_trained(CifarResNet(10, 3, depth=8))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight[0], module.weight[1], module.weight[2] = 0.0, 1e-8, -1e-30
                module.weight[3], module.bias[1] = -0.8, 1.0
    logits = run(export(model, quantizer))
    check_parity(torch_logits(model), logits, quantized=quantizer.bits == 8)
    assert top1_agreement(torch_logits(model), logits) >= 0.9


SCRIPT = """
import hashlib
import numpy as np
import torch
from slimtune.compression.export.inspection import inspect_file
from slimtune.compression.export.onnx_file import NumberFormat, Signature, export_file
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.measurement.runtime import observe_ranges
from slimtune.workload.zoo.cifar_resnet import CifarResNet

def digests():
    torch.manual_seed(0)
    model = CifarResNet(10, 3, depth=8)
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)
    weights = {n: p for n, p in model.named_parameters() if p.ndim > 1}
    for bits in (32, 8, 3):
        stored = {n: fit_max(w, bits) for n, w in weights.items() if bits < 32}
        content = export_file(
            model,
            Signature((3, 32, 32), (0.5,) * 3, (0.5,) * 3, list("abcdefghij")),
            NumberFormat(stored, "static" if bits < 32 else "float"),
            calibration=images, observe=observe_ranges,
        ).onnx
        yield hashlib.sha256(content).hexdigest()

found = list(digests())
"""


def test_the_same_network_gives_the_same_bytes_in_any_process() -> None:
    command = [sys.executable, "-c", SCRIPT + "print(*found)"]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    names: dict[str, list[str]] = {}
    exec(SCRIPT, names)
    assert names["found"] == other


def test_the_file_describes_itself(resnet: nn.Module) -> None:
    file = onnx.load_from_string(export(resnet, Int8Static()))
    described = {entry.key: json.loads(entry.value) for entry in file.metadata_props}
    assert described == {
        "slimtune.schema": 1,
        "slimtune.input": {"dtype": "uint8", "layout": "NCHW"},
        "slimtune.classes": list(CLASSES),
        "slimtune.mean": list(MEAN),
        "slimtune.std": list(STD),
        "slimtune.onnxruntime": ">=1.15",
    }
    (image,) = file.graph.input
    assert image.name == "images"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == [
        "n",
        3,
        32,
        32,
    ]
    assert {entry.domain for entry in file.opset_import} == {""}  # standard operators only


def test_exporting_leaves_the_network_as_it_was(resnet: nn.Module) -> None:
    before = {name: value.clone() for name, value in resnet.state_dict().items()}
    export(resnet, Int8Static())
    assert before.keys() == resnet.state_dict().keys()
    assert all(torch.equal(v, before[name]) for name, v in resnet.state_dict().items())


def test_a_network_with_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(n, 10\), but gives \('n', 7\)"):
        export(CifarResNet(7, 3, depth=8), NoQuantization())


class Residual(nn.Module):
    """A value that two layers read, one of them through an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.c, self.fc = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        v = self.a(x).relu()
        w = self.b(v).relu()
        y = (self.c(w) + v).relu()
        return self.fc(y.mean((2, 3), keepdim=True).flatten(1))


def onto_range(x: Tensor, low: float, high: float) -> Tensor:
    return onto_grid(x, torch.tensor([low, high]))


def test_a_file_cuts_the_input_of_layers_as_they_learned(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Residual().eval()
    stored = {n: fit_max(p, 8) for n, p in model.named_parameters() if p.ndim > 1}
    model = bake(model, stored)
    ranges = {
        "a.weight": (-1.0, 1.5),  # the image, below its range on both sides
        "b.weight": (0.0, 0.4),  # shared with an addition, which reads all of it
        "c.weight": (-1.0, 0.2),  # behind a ReLU: the ReLU stays
        "fc.weight": (0.0, 0.3),
    }
    content = export_stored(model, stored, "static", ranges=ranges)
    plain = export_stored(model, stored, "static")
    with torch.no_grad():
        images = normalised(IMAGES)
        exact_v = model.a(images).relu()
        exact_c = model.c(model.b(exact_v).relu())
        exact_y = (exact_c + exact_v).relu()
        v = onto_grid(model.a(onto_range(images, -1.0, 1.5)).relu(), exact_v)
        w = onto_range(model.b(onto_range(v, 0.0, 0.4)).relu(), 0.0, 0.2)
        y = onto_grid(onto_grid(model.c(w), exact_c) + v, exact_y).relu()
        simulated = model.fc(onto_range(y.mean((2, 3)), 0.0, 0.3)).numpy()
    difference = np.abs(run(content) - simulated)
    moved = np.abs(run(plain) - simulated)
    assert difference.max() < 0.1 * moved.mean()
    ops, before = optimised_ops(content, tmp_path), optimised_ops(plain, tmp_path)
    assert (ops["QLinearConv"], ops["QGemm"], ops["Conv"]) == (3, 1, 0)
    assert ops["QuantizeLinear"] == before["QuantizeLinear"] + 1  # only b has its own


def test_ranges_that_cover_what_is_seen_change_no_kernel(
    resnet: nn.Module, tmp_path: Path
) -> None:
    stored = rounded(resnet, 8)
    wide = {name: (-100.0, 100.0) for name in stored}
    content = export_stored(bake(resnet, stored), stored, "static", ranges=wide)
    assert optimised_ops(content, tmp_path) == optimised_ops(
        export(resnet, Int8Static()), tmp_path
    )
