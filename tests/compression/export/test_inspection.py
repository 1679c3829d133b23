import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from torch import nn

from slimtune.compression.export.inspection import inspect_file
from slimtune.compression.export.onnx_file import NumberFormat, Signature, export_file
from slimtune.compression.quantization.fake_quantizers.baking import bake, halved
from slimtune.compression.quantization.protocol import Activations, StoredWeight
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.errors import ModelError
from slimtune.measurement.cost import count_cost
from slimtune.measurement.runtime import observe_ranges
from slimtune.workload.zoo.cifar_resnet import CifarResNet

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def export(
    model: nn.Module,
    stored: dict[str, StoredWeight],
    activations: Activations = "float",
    float_bits: int = 32,
) -> bytes:
    return export_file(
        model,
        Signature((3, 32, 32), (0.5,) * 3, (0.25,) * 3, list("abcdefghij")),
        NumberFormat(stored, activations, float_bits=float_bits),
        calibration=IMAGES,
        observe=observe_ranges,
    ).onnx


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return CifarResNet(10, 3, depth=20).eval()


def rounded(model: nn.Module, bits: int) -> dict[str, StoredWeight]:
    return {n: fit_max(p, bits) for n, p in model.named_parameters() if p.ndim > 1}


def test_a_float_file_costs_what_its_network_costs(model: nn.Module) -> None:
    """Oracle 1: the published MACs and BOPs, out of the file alone."""
    found = inspect_file(export(model, {}))
    assert (found.macs, found.bops) == (40_551_040, 41_524_264_960)
    assert found.params == 268_336 + 688 + 10  # weights, folded biases, the classifier's bias
    assert found.weight_bytes == 4 * 268_336
    assert found.packed_bytes == 1_084_392 - 3 * 4 * 688  # normalisations are folded
    assert len(found.layers) == 20  # selections are left out
    assert found.layers[0].shape == (16, 3, 3, 3) and found.layers[0].macs == 442_368


@pytest.mark.parametrize("activations", ["static", "dynamic", "float"])
@pytest.mark.parametrize("bits", [2, 4, 5, 8])
def test_bits_zeros_and_operations_of_our_files(
    model: nn.Module, bits: int, activations: Activations
) -> None:
    stored = rounded(model, bits)
    baked = bake(model, stored)
    found = inspect_file(export(baked, stored, activations))
    bits_in = 32 if activations == "float" else 8
    expected = count_cost(baked, (3, 32, 32), weight_bits=bits, activation_bits=bits_in)
    assert {layer.bits for layer in found.layers} == {bits}
    assert (found.macs, found.bops) == (expected.macs, expected.bops)
    assert found.sparsity == pytest.approx(expected.sparsity, abs=1e-9)
    folded = 3 * 4 * 688  # mean, variance and scale that the file has no more
    assert found.packed_bytes == expected.packed_bytes - folded


def test_mixed_bits_codebooks_and_bitmaps_are_told_apart(model: nn.Module) -> None:
    stored = rounded(model, 4)
    first, *_, last = stored
    stored[first], stored[last] = fit_max(model.get_parameter(first), 8), rounded(model, 8)[last]
    odd = np.array([-10, -7, -1, 0, 1, 3, 50, 99], np.int8)
    name = "layer2.1.conv1.weight"
    draw = np.random.default_rng(0)
    integers = draw.choice(odd, stored[name].integers.shape)
    stored[name] = replace(stored[name], integers=integers, bits=3)
    sparse = "layer3.1.conv1.weight"
    gone = draw.random(stored[sparse].integers.shape) < 0.97
    stored[sparse] = replace(stored[sparse], integers=stored[sparse].integers * ~gone)
    found = inspect_file(export(bake(model, stored), stored, "static"))
    shapes = [weight.integers.shape for weight in stored.values()]
    assert [layer.shape for layer in found.layers] == shapes
    assert [layer.bits for layer in found.layers] == [w.bits for w in stored.values()]
    zeros = [int(np.count_nonzero(weight.integers)) for weight in stored.values()]
    assert [layer.nonzero for layer in found.layers] == zeros


def test_half_precision_and_sparse_float_files(model: nn.Module) -> None:
    sparse = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in sparse.parameters():
            if parameter.ndim > 1:
                parameter[parameter.abs() < parameter.abs().quantile(0.75)] = 0
    for bits, content in ((16, export(halved(sparse), {}, "float", 16)), (32, export(sparse, {}))):
        found = inspect_file(content)
        assert {layer.bits for layer in found.layers} == {bits}
        assert found.sparsity == pytest.approx(0.75, abs=0.001)
        assert found.weight_bytes < 268_336 / 8 + 268_336 * 0.251 * bits / 8 + 8_000


class Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        self.feeds = iter([{"images": np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def test_files_of_onnx_runtimes_quantizers_are_read_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25).eval()
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    source.write_bytes(export(model, {}))
    expected = count_cost(model, (3, 32, 32))
    assert inspect_file(source).macs == expected.macs
    for form in (QuantFormat.QDQ, "dynamic"):
        if form == "dynamic":
            quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
        else:
            quantize_static(
                str(source), str(target), Calibration(), quant_format=form, per_channel=True
            )
        found = inspect_file(target)
        assert found.macs == expected.macs
        assert {(layer.bits, layer.input_bits) for layer in found.layers} == {(8, 8)}
        assert found.bops == 64 * expected.macs
        assert found.params == inspect_file(source).params
        assert found.sparsity < 0.2


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    for file in (tmp_path / "m.onnx", tmp_path / "none.onnx"):
        with pytest.raises(ModelError, match="must be an ONNX file") as caught:
            inspect_file(file)
        assert "\n" not in str(caught.value)


def test_a_file_without_layers_is_empty() -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(n, 1, [1, 3, 4, 4]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    content = onnx.helper.make_model(graph).SerializeToString()
    found = inspect_file(content)
    assert (found.params, found.macs, found.sparsity, found.layers) == (0, 0, 0.0, ())
