"""Magnitude pruning of single weights, against torch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from slimtune.compression.pruning import L1Unstructured
from slimtune.errors import PruningError

ALL = L1Unstructured(ends=True)


def layers() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 6, 3), "c": nn.Linear(6, 10)}


def weights_of(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {name: module.weight.detach().clone() for name, module in modules.items()}


def removed(masks: dict[str, Tensor]) -> int:
    return sum(int((~mask).sum()) for mask in masks.values())


def test_half_of_all_weights_empties_the_layer_of_small_ones() -> None:
    weights = {"a": torch.tensor([[0.1, 0.2, 0.3, 0.4]]), "b": torch.tensor([[1.0, 2.0, 3.0, 4]])}
    masks = ALL.masks(weights, 0.5, "global")
    assert not masks["a"].any() and masks["b"].all()  # the worked example of the reference, 2.5


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.93])
def test_global_masks_are_those_of_torch(amount: float) -> None:
    modules = layers()
    masks = ALL.masks(weights_of(modules), amount, "global")
    torch_prune.global_unstructured(
        [(module, "weight") for module in modules.values()],
        pruning_method=torch_prune.L1Unstructured,
        amount=amount,
    )
    for name, module in modules.items():
        assert torch.equal(masks[name], module.weight_mask.bool())


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.93])
def test_local_masks_are_those_of_torch_layer_by_layer(amount: float) -> None:
    modules = layers()
    masks = ALL.masks(weights_of(modules), amount, "local")
    for name, module in modules.items():
        torch_prune.l1_unstructured(module, "weight", amount)
        assert torch.equal(masks[name], module.weight_mask.bool())


def test_twice_20_percent_of_the_rest_in_torch_is_36_percent_of_all_here_oracle_10() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(25, 40)
    weight = layer.weight.detach().clone()
    for _ in range(2):
        torch_prune.l1_unstructured(layer, "weight", 0.2)
    assert int((layer.weight_mask == 0).sum()) == 360
    first = ALL.masks({"a": weight}, 0.2, "global")["a"]
    second = ALL.masks({"a": weight * first}, 0.36, "global")["a"]
    assert torch.equal(second, layer.weight_mask.bool())


def test_the_first_and_the_last_layer_stay_dense_and_do_not_count() -> None:
    weights = weights_of(layers())
    masks = L1Unstructured().masks(weights, 0.5, "global")
    assert masks["a"].all() and masks["c"].all()
    assert int((~masks["b"]).sum()) == weights["b"].numel() // 2


def test_a_network_of_two_layers_is_refused_unless_its_ends_may_go() -> None:
    weights = {"a": torch.randn(4, 4), "b": torch.randn(4, 4)}
    with pytest.raises(PruningError, match=r"has 2 layers .*; set ends: true"):
        L1Unstructured().masks(weights, 0.5, "local")
    assert removed(ALL.masks(weights, 0.5, "local")) == 16


def test_equal_weights_go_by_index() -> None:
    masks = ALL.masks({"a": torch.full((2, 5), -0.5)}, 0.3, "global")
    assert (~masks["a"]).flatten().nonzero().flatten().tolist() == [0, 1, 2]


def test_no_layer_loses_every_weight_when_each_is_pruned_by_itself() -> None:
    masks = ALL.masks({"a": torch.ones(1, 2), "b": torch.ones(1, 1)}, 0.95, "local")
    assert [int(mask.sum()) for mask in masks.values()] == [1, 1]


@given(
    st.lists(st.integers(-4, 4), min_size=8, max_size=40),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.sampled_from(["local", "global"]),
)
def test_counts_are_exact_and_what_went_stays_gone(
    values: list[int], first: float, second: float, scope: str
) -> None:
    low, high = sorted((first, second))
    tensor = torch.tensor(values, dtype=torch.float32)
    weights = {"a": tensor[:4].view(1, 4), "b": tensor[4:].view(-1, 1)}
    before = ALL.masks(weights, low, scope)  # type: ignore[arg-type]
    sparse = {name: weight * before[name] for name, weight in weights.items()}
    after = ALL.masks(sparse, high, scope)  # type: ignore[arg-type]
    if scope == "global":
        assert removed(before) == round(low * len(values))
        assert removed(after) == round(high * len(values))
    for name, weight in sparse.items():
        left = weight * after[name]
        assert (left[weight == 0] == 0).all()
        assert int((left != 0).sum()) <= int((weight != 0).sum())
