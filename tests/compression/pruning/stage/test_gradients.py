"""Calibration gradients against one backward pass over everything."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slimtune.compression.pruning.stage.gradients import clear_gradients, mean_gradients

IMAGES = torch.randn(150, 3, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(150) % 4


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip


def test_gradients_over_chunks_are_those_of_the_mean_over_all_images() -> None:
    model, reference = network().train(), network().eval()
    mean_gradients(model, IMAGES, LABELS)
    F.cross_entropy(reference(IMAGES), LABELS).backward()
    for got, expected in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-4, atol=1e-6)


def test_modes_and_statistics_stay_and_old_gradients_do_not_count() -> None:
    model = network().train()
    model[1].eval()
    mean_gradients(model, IMAGES, LABELS)
    first = model[0].weight.grad.clone()
    mean_gradients(model, IMAGES, LABELS)
    assert torch.equal(model[0].weight.grad, first)
    assert [layer.training for layer in model] == [True, False, True, True, True, True, True]
    assert torch.equal(model[1].running_mean, torch.zeros(5))


def test_frozen_parameters_get_no_gradient_even_where_gradients_are_off() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    with torch.no_grad():
        mean_gradients(model, IMAGES, LABELS)
    assert model[0].weight.grad is None and model[6].weight.grad is not None


def test_modes_come_back_after_an_error() -> None:
    model = network().train()
    with pytest.raises(IndexError):
        mean_gradients(model, IMAGES[:4], torch.tensor([0, 1, 2, 4]))
    assert model.training


def test_clearing_leaves_no_gradient() -> None:
    model = network()
    mean_gradients(model, IMAGES, LABELS)
    clear_gradients(model)
    assert all(parameter.grad is None for parameter in model.parameters())
