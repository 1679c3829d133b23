import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.network.copies import copied
from slimtune.compression.network.layout import laid_out, laid_out_like, runs_channels_last
from slimtune.compression.pipeline import StudentState, compress
from slimtune.compression.recipe import Recipe
from slimtune.compression.training.loop import network_logits
from slimtune.conditions import Conditions
from slimtune.measurement.accuracy import check_parity
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.types import Workload

SHAPE = (1, 8, 8)
LAST, PLAIN = torch.channels_last, torch.contiguous_format


class Flat(nn.Module):
    """As LeNet, AlexNet and VGG were written for years; subclasses flatten in other ways."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8 * 64, 10)

    def flat(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flat(torch.relu(self.conv(x))))


class Reshaped(Flat):
    def flat(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), -1)


class OnlyWhileTraining(Flat):
    def flat(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1) if self.training else x.flatten(1)


class OtherNumbers(Flat):
    """Does not fail, but takes memory for axes."""

    def flat(self, x: Tensor) -> Tensor:
        return x.as_strided((x.size(0), 512), (512, 1))


class _ViewsItsGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        [gradient] = gradients
        return gradient.view(gradient.size(0), -1).view(gradient.shape)


class OnlyBackward(Flat):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def flat(self, x: Tensor) -> Tensor:
        return self.second(_ViewsItsGradient.apply(x)).flatten(1)


class Volume(nn.Module):
    """Weights of five axes and of one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv3d(1, 4, 3, padding=1), nn.Parameter(torch.ones(1))
        self.second, self.fc = nn.Conv2d(4, 6, 3), nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.relu(self.conv(x.unsqueeze(2))).squeeze(2) * self.scale
        return self.fc(self.second(maps).mean((2, 3)))


@pytest.mark.parametrize("kind", [Flat, OnlyWhileTraining, OtherNumbers, OnlyBackward])
def test_what_cannot_run_channels_last_is_laid_out_plainly(kind: type[nn.Module]) -> None:
    network = kind()
    assert not runs_channels_last(network, SHAPE)
    made = copied(network, SHAPE)
    assert made.conv.weight.is_contiguous(memory_format=PLAIN)


@pytest.mark.parametrize("kind", [Reshaped, Volume])
def test_what_can_is_laid_out_channels_last(kind: type[nn.Module]) -> None:
    made = copied(kind(), SHAPE)
    four = [p for p in made.parameters() if p.ndim == 4]
    assert four and all(p.is_contiguous(memory_format=LAST) for p in four)


def test_laying_out_changes_no_value() -> None:
    network = Volume()
    before = copy.deepcopy(network.state_dict())
    laid_out(network, SHAPE)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_trying_changes_neither_the_network_nor_the_random_state() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    assert runs_channels_last(network.train(), SHAPE) and network.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_copies_and_pickles_remember_even_where_they_would_decide_otherwise() -> None:
    network = Flat()
    runs_channels_last(network, SHAPE)
    for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        made.conv = nn.Conv2d(1, 1, 3)  # as pruned to one channel: any layout is both
        assert not runs_channels_last(made, SHAPE)
    rebuilt = laid_out_like(Flat(), network, SHAPE)
    assert not runs_channels_last(rebuilt, SHAPE)


def test_a_network_that_fails_anyway_is_not_blamed_on_its_layout() -> None:
    assert runs_channels_last(nn.Linear(3, 2), SHAPE)


RECIPES: list[dict[str, Any]] = [
    {"prune": {"method": "l1", "amount": 0.5}, "quantize": {"method": "lsq", "bits": 4}},
    {"prune": {"method": "taylor", "amount": 0.3, "schedule": "soft"}, "order": "spq",
     "quantize": {"method": "pact", "bits": 4}},
    {"quantize": {"method": "gpfq", "bits": 4}, "distill": {"method": "attention"}},
]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_stage_keeps_to_the_layout(digits: Workload, recipe: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    flat = replace(digits, baseline=Flat().eval())
    typed = Recipe.from_dict({"train": {"epochs": 1}, **recipe})
    kept: list[StudentState] = []

    def keep(progress: StudentState) -> None:
        kept.append(replace(progress, model=_as_read(progress.model)))

    made = compress(flat, typed, Conditions(seed=0), observe=observe_ranges, keep=keep)
    images = flat.validation.images
    file = predict(made.onnx, images, mean=flat.mean, std=flat.std)
    check_parity(network_logits(made.computed, images, flat).numpy(), file, quantized=True)
    for progress in kept:
        again = compress(flat, typed, Conditions(seed=0), observe=observe_ranges, start=progress)
        assert again.onnx == made.onnx


def _as_read(model: nn.Module) -> nn.Module:
    """The student as another process has it from a file, where it knows of no layout."""
    read = copy.deepcopy(model).to(memory_format=PLAIN)
    read.__dict__.pop("_runs_channels_last")
    return read
