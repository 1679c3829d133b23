"""Every registered method keeps the house's promises: registering is being tested."""

import dataclasses
import json
import typing
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.distillation.protocol import Batch, Distiller, Level
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.compression.recipe import Recipe
from slimtune.registry import Registry
from slimtune.spaces.space import METHODS
from slimtune.workload.shortcut import PadShortcut, materialize_shortcuts

ALL = [
    pytest.param(registry, name, id=f"{stage}.{name}")
    for stage, registry in (
        ("prune", PRUNING),
        ("quantize", QUANTIZATION),
        ("distill", DISTILLATION),
    )
    for name in registry
]
CHANNEL_METHODS = [name for name in PRUNING if PRUNING[name].removes == "channels"]
WEIGHT_METHODS = [name for name in PRUNING if PRUNING[name].removes == "weights"]
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


@pytest.mark.parametrize("name", CHANNEL_METHODS)
def test_scores_are_finite_repeatable_and_leave_the_network_alone(name: str) -> None:
    torch.manual_seed(0)
    conv, norm, after = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
    group = ChannelGroup("conv", (("conv", conv),), (("bn", norm),), (("after", after),), 8)
    before = conv.weight.clone()
    method = PRUNING[name]()
    for parameter in (*conv.parameters(), *norm.parameters(), *after.parameters()):
        parameter.grad = torch.randn_like(parameter) if method.needs_gradients else None
    first, second = method.scores(group), method.scores(group)
    assert first.shape == (8,) and first.dtype == torch.float32 and not first.requires_grad
    assert torch.isfinite(first).all() and torch.equal(first, second)
    assert torch.equal(conv.weight, before)


@pytest.mark.parametrize("name", WEIGHT_METHODS)
@pytest.mark.parametrize("scope", ["local", "global"])
def test_masks_are_boolean_repeatable_and_leave_the_weights_alone(name: str, scope: str) -> None:
    torch.manual_seed(0)
    shapes = {"a": (8, 3, 3, 3), "b": (8, 8, 3, 3), "c": (8, 1, 3, 3), "d": (5, 8)}
    weights = {key: torch.randn(shape) for key, shape in shapes.items()}
    before = {key: weight.clone() for key, weight in weights.items()}
    method = PRUNING[name]()
    first, second = (method.masks(weights, 0.5, scope) for _ in range(2))
    assert list(first) == list(weights)
    for key, mask in first.items():
        assert mask.dtype == torch.bool and mask.shape == weights[key].shape
        assert torch.equal(mask, second[key]) and torch.equal(weights[key], before[key])
    assert not all(mask.all() for mask in first.values())


def small_network() -> tuple[nn.Module, Tensor]:
    """A stem, a frozen selection, a grouped layer, one with pruned weights, and a classifier."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        PadShortcut(4, 8, 2),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 5),
    )
    with torch.no_grad():
        model.get_parameter("7.weight")[:, ::2] = 0
        model.get_parameter("7.weight")[3] = 0
    return materialize_shortcuts(model).eval(), torch.randn(16, 3, 8, 8)


@pytest.mark.parametrize("name", list(QUANTIZATION))
def test_stored_weights_fit_their_bits_and_pruned_ones_stay_zero(name: str) -> None:
    model, images = small_network()
    quantizer = QUANTIZATION[name]()
    prepared = quantizer.prepare(model, images).eval()
    before = {key: value.clone() for key, value in prepared.state_dict().items()}
    stored, again = (quantizer.weights(prepared, images) for _ in range(2))
    assert all(torch.equal(v, before[key]) for key, v in prepared.state_dict().items())
    layers = ["0.weight", "4.weight", "7.weight", "11.weight"]  # 3 is the frozen selection
    assert list(stored) == ([] if quantizer.bits > 8 else layers)
    for key, weight in stored.items():
        assert weight.integers.shape == small_network()[0].get_parameter(key).shape
        assert weight.integers.dtype == np.int8 and weight.integers.min() >= -127
        assert 2 <= weight.bits <= 8 and (key in layers[::3] or weight.bits == quantizer.bits)
        values, half = np.unique(weight.integers), 2 ** (weight.bits - 1)
        fits = -half <= values.min() and values.max() < half
        assert fits or len(values) <= 2**weight.bits
        assert weight.scale.shape == weight.integers.shape[:1]
        assert weight.scale.dtype == np.float32 and (weight.scale > 0).all()
        assert len(values) > 1 and np.array_equal(weight.integers, again[key].integers)
    if stored:
        pruned = stored["7.weight"].integers
        assert not pruned[:, ::2].any() and not pruned[3].any()


@pytest.mark.parametrize("name", list(QUANTIZATION))
def test_the_baked_network_is_plain_and_has_the_stored_weights(name: str) -> None:
    model, images = small_network()
    plain = {type(module) for module in model.modules()}
    names = list(model.state_dict())
    quantizer = QUANTIZATION[name]()
    prepared = quantizer.prepare(model, images).eval()
    stored = quantizer.weights(prepared, images)
    baked = bake(prepared, stored)
    assert {type(module) for module in baked.modules()} == plain
    assert list(baked.state_dict()) == names
    for key, weight in stored.items():
        assert np.array_equal(baked.get_parameter(key).detach().numpy(), weight.dequantized())
    assert torch.isfinite(baked(images)).all()


def distillation_batch(method: Distiller, student: Tensor, teacher: Tensor, **more: Any) -> Batch:
    """What the method sees of a step with these logits, feature maps included where it asks."""
    labels = torch.arange(len(student)) % student.shape[1]
    maps = student[:, :4, None, None] * torch.linspace(0.5, 1, 9).reshape(3, 3)
    fixed = torch.randn(2, *maps.shape)
    level = Level(maps, maps.square(), fixed[0], fixed[1])
    values: dict[str, Any] = {"progress": 1.0, "mixed_labels": labels, **more}
    return Batch(
        hard=nn.functional.cross_entropy(student, labels),
        student=student,
        teacher=teacher.detach() if method.needs_teacher else None,
        labels=labels,
        levels=() if method.features == "none" else (level, level),
        **values,
    )


@pytest.mark.parametrize("share", [1.0, 0.3], ids=["plain", "mixed"])
@pytest.mark.parametrize("images", [2, 16])
@pytest.mark.parametrize("name", list(DISTILLATION))
def test_a_distillation_loss_is_a_finite_scalar_with_a_gradient_to_the_student_only(
    name: str, images: int, share: float
) -> None:
    torch.manual_seed(0)
    student = torch.randn(images, 5, requires_grad=True)
    teacher = torch.randn(images, 5, requires_grad=True)
    method = DISTILLATION[name]()
    mixed = {"share": share, "mixed_labels": torch.randint(5, (images,))}
    loss = method.loss(distillation_batch(method, student, teacher, **mixed))
    loss.backward()
    assert loss.ndim == 0 and torch.isfinite(loss)
    assert student.grad is not None and student.grad.abs().sum() > 0
    assert torch.isfinite(student.grad).all() and teacher.grad is None


@pytest.mark.parametrize("rows", ["equal logits", "equal images", "certain"])
@pytest.mark.parametrize("name", list(DISTILLATION))
def test_a_distillation_loss_stays_finite_where_nothing_varies(name: str, rows: str) -> None:
    torch.manual_seed(0)
    values = {
        "equal logits": torch.zeros(4, 5),
        "equal images": torch.randn(1, 5).repeat(4, 1),
        "certain": 1e4 * torch.eye(5)[:4],
    }[rows]
    method = DISTILLATION[name]()
    for teacher in (values, torch.randn(4, 5)):
        student = values.clone().requires_grad_()
        loss = method.loss(distillation_batch(method, student, teacher))
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", list(DISTILLATION))
def test_a_distillation_method_without_its_teacher_is_the_loss_on_the_labels(name: str) -> None:
    """A recipe whose weights are all 0 does the same as a recipe without distillation."""
    weights = {
        field.name: 0.0
        for field in dataclasses.fields(DISTILLATION[name])
        if field.name == "alpha" or field.name.endswith("_weight")
    }
    weights.pop("label_weight", None)
    method = DISTILLATION[name](**weights)
    batch = distillation_batch(method, torch.randn(4, 5), torch.randn(4, 5))
    assert not method.needs_teacher and batch.teacher is None
    assert method.loss(dataclasses.replace(batch, levels=())).item() == batch.hard.item()
