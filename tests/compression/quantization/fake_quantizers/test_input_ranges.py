import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.baking import as_in_file, bake
from slimtune.compression.quantization.fake_quantizers.input_ranges import (
    RangedConv2d,
    RangedLinear,
    input_ranges,
    rounded,
    set_input_ranges,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 3)
    )


def test_rounding_is_numpys_own_on_both_kinds_of_range() -> None:
    x = torch.linspace(-3, 3, 1001)
    step = np.float32(2.0 / 255)
    expected = np.round(np.clip(x.numpy(), 0, 2) / step) * step
    np.testing.assert_allclose(rounded(x, 0.0, 2.0).numpy(), expected, atol=1.01 * step)
    assert rounded(x, 0.0, 2.0).min() == 0 and rounded(x, 0.0, 2.0).max() == pytest.approx(2)
    signed = rounded(x, -2.0, 2.0)
    assert signed.min() == pytest.approx(-2) and signed.max() == pytest.approx(2)
    assert len(signed.unique()) == 255


def test_the_gradient_passes_inside_the_range_and_stops_outside() -> None:
    x = torch.tensor([-1.0, 0.5, 3.0], requires_grad=True)
    rounded(x, 0.0, 2.0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("method", ["lsq", "pact", "dorefa", "apot"])
def test_plain_layers_with_the_ranges_compute_what_the_fake_quantizers_compute(
    method: str,
) -> None:
    images = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    quantizer = QUANTIZATION[method](bits=4)
    prepared = quantizer.prepare(network(), images).eval()
    stored = quantizer.weights(prepared, images)
    computed = as_in_file(prepared, stored)
    plain = set_input_ranges(bake(computed, stored), input_ranges(computed))
    # a value between two steps may fall to either side: one step of noise, no more
    torch.testing.assert_close(plain(images), computed(images), rtol=0.02, atol=0.02)
    assert list(plain.state_dict()) == list(network().state_dict())
    assert [type(m) for m in plain] == [
        nn.Conv2d,
        nn.ReLU,
        RangedConv2d,
        nn.Flatten,
        RangedLinear,
    ]
    assert "input_range=" in repr(plain)


def test_a_network_with_ranges_can_be_copied_and_saved_like_any_other() -> None:
    plain = set_input_ranges(network(), {"2.weight": (0.0, 1.0)})
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(copy.deepcopy(plain)(x), plain(x))
    buffer = io.BytesIO()
    torch.save(plain.state_dict(), buffer)
    assert not torch.equal(network()(x), plain(x))


def test_a_network_in_plain_layers_has_no_ranges() -> None:
    assert input_ranges(network()) == {}


@pytest.mark.parametrize(
    ("name", "values"),
    [("1.weight", (0.0, 1.0)), ("9.weight", (0.0, 1.0)), ("2.weight", (0.5, 1.0)),
     ("2.weight", (0.0, 0.0)), ("2.weight", (0.0, float("nan")))],
)  # fmt: skip
def test_a_range_that_is_none_is_refused(name: str, values: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="input_ranges"):
        set_input_ranges(network(), {name: values})
