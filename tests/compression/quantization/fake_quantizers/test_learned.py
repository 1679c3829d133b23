import copy
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.compression.quantization.fake_quantizers.layers import (
    fake_quantized,
    quantized_weight,
)
from slimtune.compression.quantization.fake_quantizers.learned import LearnedQuantizer, MaxWeight
from slimtune.compression.quantization.lsq import Lsq
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

LEARNED = [name for name in QUANTIZATION if QUANTIZATION[name].trains]
IMAGES = torch.rand(70, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.3


def made(name: str, **values: Any) -> LearnedQuantizer:
    method: Any = QUANTIZATION[name]
    return cast(LearnedQuantizer, method(**values))


def network() -> nn.Module:
    torch.manual_seed(0)
    return materialize_shortcuts(build(Architecture("resnet8", 10, 3))).eval()


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", LEARNED)
def test_stored_integers_times_scale_are_the_weights_of_training(name: str, bits: int) -> None:
    model = network()
    with torch.no_grad():
        dict(model.named_parameters())["layer2.0.conv1.weight"][3] = 0
    quantizer = made(name, bits=bits)
    model = quantizer.prepare(model, IMAGES[:4])
    stored = quantizer.weights(model, IMAGES[:4])
    assert len(stored) == 8
    for weight_name, layer in fake_quantized(model):
        weight, computed = stored[weight_name], quantized_weight(layer).detach()
        torch.testing.assert_close(
            torch.from_numpy(weight.dequantized()), computed, rtol=1e-5, atol=1e-7
        )
        assert weight.integers.dtype == np.int8 and abs(weight.integers.astype(int)).max() <= 127
        assert weight.scale.shape == (len(computed),) and (weight.scale > 0).all()
        ends = weight_name in ("conv1.weight", "linear.weight")
        assert weight.bits == (8 if ends else bits)
        levels = np.unique(weight.integers)
        assert len(levels[levels != 0]) <= 2**weight.bits
    assert not stored["layer2.0.conv1.weight"].integers[3].any()


@pytest.mark.parametrize("name", LEARNED)
def test_the_baked_network_computes_in_plain_layers_with_the_trained_weights(name: str) -> None:
    quantizer = made(name)
    model = quantizer.prepare(network(), IMAGES[:4])
    baked = bake(model, quantizer.weights(model, IMAGES[:4]))
    assert {type(m) for m in baked.modules() if isinstance(m, nn.Linear)} == {nn.Linear}
    for _, layer in fake_quantized(model):
        layer.input_quantizer = None
    torch.testing.assert_close(baked(IMAGES[:4]), model(IMAGES[:4]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_every_input_but_the_image_has_a_range_that_starts_at_0_after_a_relu(name: str) -> None:
    quantizer = made(name)
    model = quantizer.prepare(network(), IMAGES)
    ranges = quantizer.ranges(model)
    assert ranges.keys() == quantizer.weights(model, IMAGES).keys() - {"conv1.weight"}
    assert all(low == 0 and high > 0 for low, high in ranges.values())


@pytest.mark.parametrize("name", LEARNED)
def test_inputs_with_a_sign_keep_it(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(576, 2))
    quantizer = made(name)
    model = quantizer.prepare(model, IMAGES)  # type: ignore[assignment]
    low, high = quantizer.ranges(model)["1.weight"]
    assert low == -high < 0


@pytest.mark.parametrize("name", LEARNED)
def test_8_bits_everywhere_start_as_about_the_float_network(name: str) -> None:
    model = network()
    expected = model(IMAGES)
    prepared = made(name, stage_bits="8").prepare(copy.deepcopy(model), IMAGES)
    error = (prepared(IMAGES) - expected).square().mean().sqrt() / expected.std()
    assert float(error.detach()) < 0.06


@pytest.mark.parametrize("name", LEARNED)
def test_stages_have_the_bits_that_the_recipe_gives_them(name: str) -> None:
    quantizer = made(name, stage_bits="5-3", first_last_bits=6)
    stored = quantizer.weights(quantizer.prepare(network(), IMAGES[:4]), IMAGES[:4])
    assert [weight.bits for weight in stored.values()] == [6, 5, 5, 3, 3, 3, 3, 6]


@pytest.mark.parametrize("name", LEARNED)
def test_a_few_steps_of_training_lower_the_loss(name: str) -> None:
    model = made(name, bits=3, activation_bits=3).prepare(network(), IMAGES)
    labels = torch.arange(len(IMAGES)) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model.train()(IMAGES), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_calibration_sees_the_percentile_and_the_mean_of_all_chunks() -> None:
    seen = {}

    class Noting(Lsq):  # type: ignore[misc]
        def input_quantizer(self, found, bits):  # type: ignore[no-untyped-def]
            seen[bits] = found
            return super().input_quantizer(found, bits)

    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 5), nn.ReLU(), nn.Linear(5, 2))
    hidden = nn.functional.relu(model[1](IMAGES.flatten(1))).detach()
    Noting().prepare(model, IMAGES)
    assert not seen[8].signed and seen[8].features == 5
    assert seen[8].mean == pytest.approx(
        np.mean([float(chunk.mean()) for chunk in hidden.split(64)]), rel=1e-4
    )
    assert seen[8].limit <= float(hidden.max()) + 1e-6


def test_max_weights_are_those_of_post_training_quantization() -> None:
    weight = torch.randn(6, 3, 3, 3)
    weight[2] = 0
    for bits in (2, 4, 8):
        ours, theirs = MaxWeight(bits).stored(weight), fit_max(weight, bits)
        assert np.array_equal(ours.integers, theirs.integers)
        np.testing.assert_allclose(ours.scale, theirs.scale, rtol=1e-6)
