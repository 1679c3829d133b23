"""Every registered method keeps the house's promises: registering is being tested."""

import dataclasses
import json
import typing
from typing import Any

import pytest
import torch
from torch import nn

from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.recipe import Recipe
from slimtune.registry import Registry
from slimtune.spaces.space import METHODS

ALL = [
    pytest.param(registry, name, id=f"{stage}.{name}")
    for stage, registry in (
        ("prune", PRUNING),
        ("quantize", QUANTIZATION),
        ("distill", DISTILLATION),
    )
    for name in registry
]
STAGE_OF = {id(PRUNING): "prune", id(QUANTIZATION): "quantize", id(DISTILLATION): "distill"}


@pytest.mark.parametrize(("registry", "name"), ALL)
def test_a_method_is_a_frozen_dataclass_with_docstring_and_reference(
    registry: Registry[Any], name: str
) -> None:
    method = registry[name]()
    assert dataclasses.is_dataclass(method)
    assert method.__doc__ and not method.__doc__.startswith(type(method).__name__ + "(")
    assert isinstance(method.reference, str) and method.reference
    assert registry.name_of(method) == name
    for field in dataclasses.fields(method):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, field.name, None)


@pytest.mark.parametrize(("registry", "name"), ALL)
def test_every_setting_is_described_and_every_number_has_a_range(
    registry: Registry[Any], name: str
) -> None:
    hints = typing.get_type_hints(registry[name], include_extras=True)
    for field in dataclasses.fields(registry[name]):
        kind, info = typing.get_args(hints[field.name])[:2]
        assert info.description, field.name
        if kind in (int, float):
            bounds = {type(m).__name__ for m in info.metadata}
            assert bounds & {"Ge", "Gt"} and bounds & {"Le", "Lt"}, field.name


@pytest.mark.parametrize(("registry", "name"), ALL)
def test_a_recipe_with_the_method_survives_json(registry: Registry[Any], name: str) -> None:
    recipe = Recipe.from_dict({STAGE_OF[id(registry)]: {"method": name}})
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe and again.key() == recipe.key()


@pytest.mark.parametrize(("registry", "name"), ALL)
def test_a_method_has_its_row_in_the_search_space(registry: Registry[Any], name: str) -> None:
    row = METHODS[STAGE_OF[id(registry)]][name]
    assert set(row) <= {field.name for field in dataclasses.fields(registry[name])}


@pytest.mark.parametrize("name", list(PRUNING))
def test_scores_are_finite_repeatable_and_leave_the_network_alone(name: str) -> None:
    torch.manual_seed(0)
    conv, norm, after = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
    group = ChannelGroup("conv", (("conv", conv),), (("bn", norm),), (("after", after),), 8)
    before = conv.weight.clone()
    method = PRUNING[name]()
    first, second = method.scores(group), method.scores(group)
    assert first.shape == (8,) and first.dtype == torch.float32 and not first.requires_grad
    assert torch.isfinite(first).all() and torch.equal(first, second)
    assert torch.equal(conv.weight, before)


@pytest.mark.parametrize("name", list(QUANTIZATION))
def test_a_stored_weight_is_integers_of_the_stated_bits_near_the_weight(name: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 3, 3, 3)
    before = weight.clone()
    quantizer = QUANTIZATION[name]()
    stored = quantizer.weight("conv.weight", weight)
    assert torch.equal(weight, before)
    if stored is None:
        assert quantizer.bits == 32
        return
    limit = 2 ** (stored.bits - 1)
    assert stored.bits == quantizer.bits and stored.integers.dtype.name == "int8"
    assert stored.integers.min() >= -limit and stored.integers.max() < limit
    assert stored.scale.shape == (6,) and (stored.scale > 0).all()
    rebuilt = stored.integers * stored.scale[:, None, None, None]
    assert abs(rebuilt - weight.numpy()).max() <= stored.scale.max()


@pytest.mark.parametrize("name", list(DISTILLATION))
def test_a_loss_is_a_finite_scalar_with_a_gradient_to_the_student_only(name: str) -> None:
    torch.manual_seed(0)
    student = torch.randn(4, 5, requires_grad=True)
    teacher = torch.randn(4, 5, requires_grad=True)
    hard = nn.functional.cross_entropy(student, torch.tensor([0, 1, 2, 3]))
    method = DISTILLATION[name]()
    loss = method.loss(hard, student, teacher.detach() if method.needs_teacher else None)
    loss.backward()
    assert loss.ndim == 0 and torch.isfinite(loss)
    assert student.grad is not None and student.grad.abs().sum() > 0
    assert teacher.grad is None
