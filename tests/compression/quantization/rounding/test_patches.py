import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimtune.compression.quantization.rounding.patches import second_moments
from slimtune.errors import TrialError

LAYERS = [
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, 3, padding=1, stride=2),
    nn.Conv2d(4, 6, (3, 1), padding=(2, 1), stride=(1, 2), dilation=(2, 1)),
    nn.Conv2d(4, 6, (3, 5), padding="same"),
    nn.Conv2d(4, 6, 1, stride=2),
    nn.Conv2d(4, 6, 3, padding=1, groups=2),
    nn.Conv2d(4, 4, 3, padding=1, groups=4),
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    nn.Linear(7, 6),
]


def moments(
    layer: nn.Module, plain: Tensor, behind: Tensor, count: int = 10**9, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = layer(plain).shape
    return second_moments(layer, (plain, behind), shape, count=count, generator=generator)


def inputs(layer: nn.Module, n: int = 40) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    shape = (n, 4, 9, 7) if isinstance(layer, nn.Conv2d) else (n, 7)
    return torch.randn(shape), torch.randn(shape)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@torch.no_grad()
def test_the_moments_are_those_of_what_the_weights_are_multiplied_with(layer: nn.Module) -> None:
    """For any weights, the squared outputs summed over all positions are w H w, and so for G."""
    plain, behind = inputs(layer)
    cross, gram = moments(layer, plain, behind)
    assert isinstance(layer.bias, Tensor) and isinstance(layer.weight, Tensor)
    layer.bias.zero_()
    axes = (0, *range(2, layer(plain).ndim))
    groups = len(gram)
    weight = layer.weight.double().reshape(groups, len(layer.weight) // groups, -1)
    for found, other in ((gram, behind), (cross, plain)):
        expected = (layer(behind).double() * layer(other).double()).sum(axes)
        form = torch.einsum("goi,gij,goj->go", weight, found, weight).reshape(-1)
        assert torch.allclose(form, expected, rtol=1e-4)


@torch.no_grad()
def test_columns_are_in_the_order_of_torchs_unfold() -> None:
    layer = nn.Conv2d(4, 6, 3, padding=1, stride=2)
    plain, behind = inputs(layer)
    rows, others = (
        F.unfold(x, 3, padding=1, stride=2).transpose(1, 2).reshape(-1, 36).double()
        for x in (plain, behind)
    )
    cross, gram = moments(layer, plain, behind)
    assert torch.allclose(cross[0], others.T @ rows) and torch.allclose(gram[0], others.T @ others)


@torch.no_grad()
def test_a_linear_layer_reads_every_position_of_a_sequence() -> None:
    layer = nn.Linear(7, 6)
    plain, behind = torch.randn(5, 3, 7), torch.randn(5, 3, 7)
    _, gram = moments(layer, plain, behind)
    flat = behind.reshape(-1, 7).double()
    assert torch.allclose(gram[0], flat.T @ flat)


@torch.no_grad()
def test_as_many_rows_are_drawn_as_asked_for_and_the_same_from_both() -> None:
    layer = nn.Conv2d(1, 1, 1)
    ones = torch.ones(30, 1, 9, 9)
    _, gram = moments(layer, ones, ones, count=100)
    assert gram.item() == 100
    numbers = torch.arange(30 * 81, dtype=torch.float32).reshape(30, 1, 9, 9)
    cross, gram = moments(layer, numbers, numbers, count=100)
    assert torch.equal(cross, gram)
    assert torch.equal(cross, moments(layer, numbers, numbers, count=100)[0])
    assert not torch.equal(cross, moments(layer, numbers, numbers, count=100, seed=1)[0])


def test_a_layer_of_another_kind_is_refused() -> None:
    layer = nn.Conv1d(2, 2, 3)
    x = torch.zeros(4, 2, 8)
    with pytest.raises(TrialError, match="2-d convolutions and linear layers, not Conv1d"):
        moments(layer, x, x)
