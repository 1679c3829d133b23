import copy

import torch

from slimtune.compression.network.copies import cloned, copied
from slimtune.workload.types import Workload


def test_a_copy_is_laid_out_alike_wherever_the_network_came_from(digits: Workload) -> None:
    as_read = copy.deepcopy(digits.baseline).to(memory_format=torch.contiguous_format)
    for network in (digits.baseline, as_read):
        weights = [p for p in copied(network, digits.image_shape).parameters() if p.ndim == 4]
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_the_original_is_left_as_it_was(digits: Workload) -> None:
    before = copy.deepcopy(digits.baseline.state_dict())
    for parameter in copied(digits.baseline, digits.image_shape).parameters():
        torch.nn.init.zeros_(parameter)
    assert all(torch.equal(v, before[k]) for k, v in digits.baseline.state_dict().items())


def test_a_clone_is_what_deepcopy_gives_to_the_bit_and_the_stride(digits: Workload) -> None:
    network = copied(digits.baseline, digits.image_shape).train()
    network.conv1.weight.requires_grad_(False)
    mine, theirs = cloned(network), copy.deepcopy(network)
    ours = list(mine.named_parameters()) + list(mine.named_buffers())
    others = list(theirs.named_parameters()) + list(theirs.named_buffers())
    for (name, tensor), (other, expected) in zip(ours, others, strict=True):
        assert name == other and torch.equal(tensor, expected)
        assert tensor.stride() == expected.stride()
        assert tensor.requires_grad == expected.requires_grad
    assert repr(mine) == repr(theirs) and mine.training


def test_a_clone_shares_nothing_with_the_original(digits: Workload) -> None:
    network = copied(digits.baseline, digits.image_shape)
    made = cloned(network)
    held = {id(module) for module in network.modules()} | {id(p) for p in network.parameters()}
    assert not held & {id(module) for module in made.modules()}
    assert not held & {id(p) for p in made.parameters()}
    made.register_forward_hook(lambda *_: None)
    assert not network._forward_hooks


def test_what_two_layers_share_their_clones_share() -> None:
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.weight = first.weight
    made = cloned(torch.nn.Sequential(first, second, first))
    assert made[0].weight is made[1].weight and made[0] is made[2]


def test_a_clone_keeps_hooks_and_attributes_of_any_kind() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    network.names, network.scale = ["a"], torch.ones(3)
    network[0].register_forward_hook(double)
    network(torch.ones(1, 2)).sum().backward()
    made = cloned(network)
    assert torch.equal(made(torch.ones(1, 2)), network(torch.ones(1, 2)))
    assert made.names == ["a"] and made.names is not network.names
    assert torch.equal(made.scale, network.scale) and made.scale is not network.scale
    assert network[0].weight.grad is not None and made[0].weight.grad is None  # as in deepcopy


class Counted(torch.nn.Linear):
    """Says itself how it is copied."""

    def __deepcopy__(self, memo: dict[int, object]) -> "Counted":
        made = Counted(1, 1)
        made.copied = True
        return made


def test_a_module_that_says_how_it_is_copied_is_asked() -> None:
    assert cloned(torch.nn.Sequential(Counted(2, 2)))[0].copied


def double(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    return 2 * output
