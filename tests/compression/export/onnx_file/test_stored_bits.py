import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnxruntime.quantization import (
    QuantType,
    quantize_dynamic,
)
from torch import Tensor, nn
from torch.nn import functional as F

from slimtune.compression.export.inspection import inspect_file
from slimtune.compression.quantization import NoQuantization
from slimtune.compression.quantization.fake_quantizers.baking import bake, halved
from slimtune.compression.quantization.protocol import Activations
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.errors import TrialError
from slimtune.measurement.accuracy import check_parity, top1_agreement
from slimtune.measurement.cost import count_cost
from tests.compression.export.exported import (
    APOT4,
    IMAGES,
    as_int8,
    export,
    export_stored,
    openvino_logits,
    optimised_ops,
    pruned,
    rounded,
    run,
    torch_logits,
    with_levels,
)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_n_bit_weights_take_n_bits_and_run_on_the_same_integer_kernels(
    small: nn.Module, bits: int, tmp_path: Path
) -> None:
    """Oracle 19, for every width: bytes a weight, kernels, and the output of int8 storage."""
    generator = torch.Generator().manual_seed(bits)
    largest = 2 ** (bits - 1) - 1
    stored = {}
    for name, weight in rounded(small, 8).items():  # few zeros, so that none is left out
        shape = weight.integers.shape
        integers = torch.randint(1, largest + 1, shape, generator=generator).numpy()
        signs = np.sign(weight.dequantized()) + (weight.integers == 0)
        stored[name] = replace(weight, integers=(integers * signs).astype(np.int8), bits=bits)
    model = bake(small, stored)
    content = export_stored(model, stored, "static")
    plain = export_stored(model, as_int8(stored), "static")
    ops = optimised_ops(content, tmp_path)
    assert ops == optimised_ops(plain, tmp_path)
    assert (ops["QLinearConv"], ops["QGemm"], ops["Conv"]) == (9, 1, 0)
    assert np.array_equal(run(content), run(plain))
    weights = sum(weight.integers.size for weight in stored.values())
    selections = 32 * 16 + 64 * 32
    tensors = onnx.load_from_string(content).graph.initializer
    bulk = [t for t in tensors if t.data_type in (TensorProto.INT8, TensorProto.UINT8)]
    stored_bytes = sum(len(t.raw_data) for t in bulk if np.prod(t.dims) > 64)
    assert stored_bytes / (weights + selections) <= bits / 8 * 1.02
    unpacking = (len(content) - stored_bytes) - (len(plain) - weights - selections)
    assert unpacking < 1200


@pytest.mark.parametrize(
    ("levels", "bits"),
    [(APOT4, 4), ((-3, -1, 1, 3), 2), ((-100, -7, -1, 0, 2, 50, 127), 3), ((-2, -1, 0, 1), 2)],
    ids=["apot 4 bits", "no level at 0", "any seven", "asymmetric"],
)
def test_any_2_to_the_b_integers_take_b_bits(
    small: nn.Module, levels: tuple[int, ...], bits: int, tmp_path: Path
) -> None:
    model = copy.deepcopy(small)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # channels that folding flips, or empties
                module.weight[::3] *= -1
                module.weight[1] = 0.0
                module.weight[2] = 1e-12
    stored = with_levels(model, levels, bits)
    model = bake(model, stored)
    content = export_stored(model, stored, "static")
    plain = export_stored(model, as_int8(stored), "static")
    assert optimised_ops(content, tmp_path)["QLinearConv"] == 9
    assert np.array_equal(run(content), run(plain)) or -2 in levels
    check_parity(torch_logits(model), run(content), quantized=True)
    weights = sum(weight.integers.size for weight in stored.values())
    assert len(content) < weights * bits / 8 + 10_000


def test_more_integers_than_bits_can_tell_apart_are_refused(small: nn.Module) -> None:
    stored = with_levels(small, APOT4, 3)
    with pytest.raises(TrialError, match=r"3 bits must have at most 8 .* conv1.weight has 1\d;"):
        export_stored(small, stored, "static")


def test_depthwise_grouped_and_linear_weights_of_4_bits_run_on_integer_kernels(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    ).eval()
    stored = rounded(model, 4)
    model = bake(model, stored)
    content = export_stored(model, stored, "static")
    ops = optimised_ops(content, tmp_path)
    assert (ops["QLinearConv"], ops["QGemm"]) == (3, 1)
    assert np.array_equal(run(content), run(export_stored(model, as_int8(stored), "static")))


def test_openvino_unpacks_every_form_to_the_same_logits(small: nn.Module) -> None:
    model = halved(pruned(small, 0.6))
    for stored, more in (
        (rounded(model, 5), {}),
        (with_levels(model, APOT4, 4), {}),
        ({}, {"float_bits": 16}),
        ({}, {}),
    ):
        content = export_stored(bake(model, stored), stored, "float", **more)
        other = openvino_logits(content)
        np.testing.assert_allclose(other, run(content), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_integers_for_float_kernels_become_float_when_the_file_is_loaded(
    small: nn.Module, bits: int, tmp_path: Path
) -> None:
    stored = rounded(small, bits)
    model = bake(small, stored)
    content = export_stored(model, stored, "float")
    ops = optimised_ops(content, tmp_path)
    assert ops == optimised_ops(export(small, NoQuantization()), tmp_path)
    check_parity(torch_logits(model), run(content), quantized=False)
    assert len(content) < 77_000 * bits / 8 + 15_000


class Tokens(nn.Module):
    """Convolution, linear layers on tokens, one of them without a bias, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, 4)
        self.norm = nn.LayerNorm(32)
        self.mix = nn.Linear(32, 128)
        self.plain = nn.Linear(128, 32, bias=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.plain(F.gelu(self.mix(self.norm(tokens))))
        return self.head(tokens.mean(1))


@pytest.mark.parametrize("activations", ["float", "static", "dynamic"])
def test_linear_layers_on_tokens_take_their_bits_and_compute_in_float(
    activations: Activations, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = Tokens().eval()
    stored = rounded(network, 4)
    model = bake(network, stored)
    content = export_stored(model, stored, activations)
    check_parity(torch_logits(model), run(content), quantized=activations != "float")
    np.testing.assert_allclose(openvino_logits(content), run(content), rtol=0.02, atol=0.02)
    optimised_ops(content, tmp_path)
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    float_kernels = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
    assert len(float_kernels) == 2  # their weights are made when the file is loaded
    assert set(float_kernels) <= {tensor.name for tensor in graph.initializer}
    found = inspect_file(content)
    assert {layer.bits for layer in found.layers} == {4}
    inputs = 32 if activations == "float" else 8
    cost = count_cost(
        model,
        (3, *IMAGES.shape[1:3]),
        activation_bits=inputs,
        bits_of=dict.fromkeys(stored, 4),
    )
    assert (found.bops, found.macs) == (cost.bops, cost.macs)
    assert found.packed_bytes == pytest.approx(cost.packed_bytes, abs=16)


@pytest.mark.parametrize("bits", [4, 8])
def test_dynamic_grids_run_every_layer_on_integers(
    small: nn.Module, bits: int, tmp_path: Path
) -> None:
    stored = rounded(small, bits)
    model = bake(small, stored)
    content = export_stored(model, stored, "dynamic")
    ops = optimised_ops(content, tmp_path)
    assert (ops["ConvInteger"], ops["Conv"], ops["Gemm"]) == (7, 2, 0)  # 2: the selections
    assert ops["MatMulInteger"] + ops["DynamicQuantizeMatMul"] == 1
    check_parity(torch_logits(model), run(content), quantized=True)
    assert top1_agreement(torch_logits(model), run(content)) > 0.9
    assert len(content) < 77_000 * bits / 8 + 17_000


def test_a_dynamic_file_computes_what_onnx_runtimes_own_dynamic_quantizer_computes(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 20), nn.ReLU(), nn.Linear(20, 10))
    images = np.random.default_rng(1).integers(0, 256, (6, 12, 12, 3), np.uint8)
    stored = {n: fit_max(p, 8) for n, p in model.named_parameters() if p.ndim > 1}
    baked = bake(model, stored)
    (tmp_path / "float.onnx").write_bytes(export_stored(baked, {}, "float", images))
    quantize_dynamic(
        tmp_path / "float.onnx",
        tmp_path / "int8.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )
    theirs = run((tmp_path / "int8.onnx").read_bytes(), images)
    ours = run(export_stored(baked, stored, "dynamic", images), images)
    np.testing.assert_allclose(ours, theirs, atol=2e-2)


def test_half_precision_weights_take_two_bytes_and_lose_nothing_more(
    small: nn.Module, tmp_path: Path
) -> None:
    model = halved(small)
    content = export_stored(model, {}, "float", float_bits=16)
    np.testing.assert_allclose(run(content), torch_logits(model), rtol=1e-4, atol=1e-4)
    assert optimised_ops(content, tmp_path)["Conv"] == 9
    assert len(content) < 2 * 77_360 + 12_000


@pytest.mark.parametrize(("bits", "nonzero"), [(32, 32), (16, 16), (8, 8), (4, 4)])
def test_zeros_take_one_bit(small: nn.Module, bits: int, nonzero: int, tmp_path: Path) -> None:
    model = pruned(small, 0.75)
    stored = rounded(model, bits) if bits < 16 else {}
    model = halved(model) if bits == 16 else bake(model, stored)
    activations: Activations = "static" if stored else "float"
    content = export_stored(model, stored, activations, float_bits=max(16, bits))
    dense = copy.deepcopy(small)
    plain = export_stored(dense, rounded(dense, 8) if stored else {}, activations)
    assert optimised_ops(content, tmp_path) == optimised_ops(plain, tmp_path)
    check_parity(torch_logits(model), run(content), quantized=bool(stored))
    weights = [p for p in model.parameters() if p.ndim > 1]
    kept = sum(int((p != 0).sum()) for p in weights)
    selections = 32 * 16 + 64 * 32  # each with one 1 an input channel
    bitmap = (sum(p.numel() for p in weights) + selections) / 8
    graph = len(plain) - (1 if stored else 4) * 77_360
    factors = 4 * 208 if bits == 16 else 0
    assert len(content) <= bitmap + kept * nonzero / 8 + graph + factors + 2000
