"""Zeros that stay zero."""

import pytest
import torch
from torch import nn

from slimtune.compression.pruning import FPGM, L1Unstructured
from slimtune.compression.pruning.stage.masks import hold_zeros, removes_weights, zero
from slimtune.compression.pruning.stage.stage import prune
from slimtune.compression.stages import Prune, Train
from slimtune.compression.training.optimizers import Learner


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 5),
    )  # fmt: skip


def half_of_the_middle(model: nn.Sequential) -> torch.Tensor:
    mask = torch.rand(model[3].weight.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    zero(model, {"3.weight": mask})
    return mask


def steps(model: nn.Module, settings: Train, count: int, after: object = None) -> None:
    learner = Learner(model, settings, count)
    learner.train()
    generator = torch.Generator().manual_seed(2)
    for _ in range(count):
        images = torch.randn(8, 3, 8, 8, generator=generator)
        labels = torch.randint(0, 5, (8,), generator=generator)
        learner.step(nn.functional.cross_entropy(model(images), labels))
        if after is not None:
            after()  # type: ignore[operator]


def test_only_masked_values_become_zero_and_the_rest_keeps_its_bits() -> None:
    model = network()
    before = model[3].weight.detach().clone()
    mask = half_of_the_middle(model)
    assert torch.equal(model[3].weight != 0, mask)
    assert torch.equal(model[3].weight[mask], before[mask])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "shampoo"])
def test_masked_weights_stay_zero_for_many_steps_and_others_move_oracle_10(optimizer: str) -> None:
    model = network()
    mask = half_of_the_middle(model)
    before = model[3].weight.detach().clone()
    settings = Train(optimizer=optimizer, lr=0.01, momentum=0.9, weight_decay=0.1)  # type: ignore[arg-type]
    steps(model, settings, 45, hold_zeros(model, lambda: None))  # Shampoo's roots begin at 20
    assert (model[3].weight[~mask] == 0).all()
    assert (model[3].weight[mask] != before[mask]).float().mean() > 0.99


class Attending(nn.Module):
    """Channels weighed by what a convolution over their means says, in 3-D and in 1-D."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(3, 8, 3), nn.Conv3d(1, 2, 3)
        self.along, self.last = nn.Conv1d(1, 1, 7, padding=3), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.deep(self.first(x).unsqueeze(1)).amax(1)
        means = nn.functional.pad(x.mean((2, 3)), (1, 1))
        return self.last(means * self.along(means.unsqueeze(1)).squeeze(1).sigmoid())


def test_whatever_a_method_prunes_stays_zero_convolutions_in_1d_and_3d_too() -> None:
    torch.manual_seed(0)
    model, batch = Attending(), (torch.randn(4, 3, 8, 8), torch.arange(4))
    prune(model, Prune(method=L1Unstructured(ends=True), amount=0.5), batch=batch)
    gone = {name: weight == 0 for name, weight in model.named_parameters() if "weight" in name}
    assert all(zeros.any() for zeros in gone.values()) and len(gone) == 4
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    steps(model, Train(lr=0.1, momentum=0.9), 5, hold_zeros(model, lambda: None))
    for name, zeros in gone.items():
        assert (model.get_parameter(name)[zeros] == 0).all(), name
        assert (model.get_parameter(name) != before[name]).any(), name


def test_without_it_they_move() -> None:
    model = network()
    mask = half_of_the_middle(model)
    steps(model, Train(lr=0.01), 10)
    assert (model[3].weight[~mask] != 0).any()


def test_momentum_from_before_does_not_move_them() -> None:
    model = network()
    learner = Learner(model, Train(lr=0.1, momentum=0.9), 20)
    learner.step(model(torch.randn(4, 3, 8, 8)).square().mean())
    mask = half_of_the_middle(model)
    hold = hold_zeros(model, lambda: None)
    for _ in range(10):
        learner.step(model(torch.randn(4, 3, 8, 8)).square().mean())
        hold()
        assert (model[3].weight[~mask] == 0).all()


def test_what_comes_after_is_called_each_time() -> None:
    calls: list[int] = []
    hold = hold_zeros(network(), lambda: calls.append(1))
    hold()
    hold()
    assert len(calls) == 2


def test_a_stage_says_whether_it_removes_weights() -> None:
    assert removes_weights(Prune(method=L1Unstructured()))
    assert not removes_weights(Prune(method=FPGM()))
    assert not removes_weights(None)
