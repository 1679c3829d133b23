from pathlib import Path

import pytest
import torch
from torch import nn

from slimtune.errors import ModelError
from slimtune.workload.objects.networks import network_reference
from slimtune.workload.objects.weights import take_weights, weights_reference


def linear(seed: int) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def test_a_state_dict_is_kept_as_it_is_now_and_loaded() -> None:
    trained, fresh = linear(0), linear(1)
    reference = weights_reference(trained.state_dict(), "weights")
    before = trained.weight.detach().clone()
    nn.init.zeros_(trained.weight)
    assert take_weights(fresh, reference, "resnet8") == ""
    assert torch.equal(fresh.weight, before)


@pytest.mark.parametrize(
    "wrap", [lambda m: m, lambda m: {"state_dict": m.state_dict(), "epoch": 3}]
)
def test_modules_and_checkpoints_hold_weights_too(wrap: object) -> None:
    trained, fresh = linear(0), linear(1)
    take_weights(fresh, weights_reference(wrap(trained), "weights"), "resnet8")
    assert torch.equal(fresh.weight, trained.weight)


def test_a_module_that_is_the_network_keeps_its_own() -> None:
    reference = network_reference(linear(0), "model")
    fresh = linear(1)
    before = fresh.weight.detach().clone()
    assert take_weights(fresh, reference, reference) == ""  # a copy has them already
    assert torch.equal(fresh.weight, before)
    take_weights(fresh, reference, "resnet8")
    assert torch.equal(fresh.weight, linear(0).weight)


def test_a_file_stays_a_file(tmp_path: Path) -> None:
    assert weights_reference(tmp_path / "w.pt", "weights") == str(tmp_path / "w.pt")


def test_what_does_not_fit_or_is_no_weights_is_refused() -> None:
    reference = weights_reference(nn.Conv2d(1, 1, 3).state_dict(), "weights")
    with pytest.raises(ModelError, match="^weights state_dict: weight is "):
        take_weights(linear(0), reference, "resnet8")
    for wrong in ([1], {}, 3):
        with pytest.raises(ModelError, match="teacher_weights: must be a file or a state dict"):
            weights_reference(wrong, "teacher_weights")
