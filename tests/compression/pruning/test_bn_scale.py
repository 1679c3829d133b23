"""Network slimming: the threshold, the subgradient, and networks without norms."""

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.pruning import BNScale
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.ranking import choose
from slimtune.compression.pruning.stage.stage import prune
from slimtune.compression.pruning.stage.surgery import find_groups
from slimtune.compression.stages import Prune, Train
from slimtune.compression.training.optimizers import Learner
from slimtune.errors import PruningError

EXAMPLE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def group(*gammas: list[float], name: str = "conv") -> ChannelGroup:
    channels = len(gammas[0]) if gammas else 4
    norms = [nn.BatchNorm2d(channels) for _ in gammas]
    for norm, gamma in zip(norms, gammas, strict=True):
        norm.weight.data = torch.tensor(gamma)
    named = tuple((f"{name}.bn{number}", norm) for number, norm in enumerate(norms))
    return ChannelGroup(name, ((name, nn.Conv2d(3, channels, 1)),), named, (), channels)


class Dense(nn.Module):
    """Two convolutions, the second behind the first in one concatenation, one norm on both."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return self.head(self.norm(torch.cat([self.b(a), a], 1)).relu().mean((2, 3)))


def test_the_score_is_the_absolute_scale_and_the_mean_of_several() -> None:
    assert BNScale().scores(group([0.5, -2.0, 1.0])).tolist() == [0.5, 2.0, 1.0]
    assert BNScale().scores(group([1.0, -2.0], [3.0, 0.0])).tolist() == [2.0, 1.0]


def test_one_threshold_on_raw_scales_cuts_all_layers_in_exact_number() -> None:
    """Oracle 7: global threshold, exact with ties; over their means, both would lose two."""
    small, large = group([0.1, 0.2, 0.3, 0.4]), group([10.0, 20, 30, 40], name="large")
    scores = {g.name: BNScale().scores(g) for g in (small, large)}
    assert choose(scores, 0.375, "global", 1, comparable=True) == {"conv": [0, 1, 2], "large": []}
    ties = {"a": torch.ones(10), "b": torch.ones(10)}
    gone = choose(ties, 0.35, "global", 1, comparable=True)
    assert gone == {"a": list(range(7)), "b": []}


def test_a_step_of_sgd_moves_every_scale_by_lr_times_lambda_towards_zero() -> None:
    """Oracle 7, with a loss of 0."""
    one = group([0.5, -2.0, 0.0])
    norm = one.norms[0][1]
    optimizer = torch.optim.SGD(norm.parameters(), lr=0.1)
    norm.weight.grad, norm.bias.grad = torch.zeros(3), torch.zeros(3)
    BNScale(sparsity=0.01).regularize([one])
    optimizer.step()
    torch.testing.assert_close(norm.weight.data, torch.tensor([0.499, -1.999, 0.0]))
    assert norm.bias.tolist() == [0, 0, 0]  # the penalty is not on beta


def test_the_penalty_is_the_gradient_of_lambda_times_the_sum_of_absolute_scales() -> None:
    model = Dense()
    nn.init.normal_(model.norm.weight)
    groups = find_groups(model, EXAMPLE)
    (model(EXAMPLE).sum() * 0).backward()
    BNScale(sparsity=0.1).regularize(groups)
    gamma = model.norm.weight.detach().clone().requires_grad_()
    (0.1 * gamma.abs().sum()).backward()
    torch.testing.assert_close(model.norm.weight.grad, gamma.grad)  # each channel once


def test_a_norm_behind_a_concatenation_scores_each_group_by_its_own_slice() -> None:
    model = Dense()
    model.norm.weight.data = torch.tensor([5.0, 6, 1, 2, 3, 4])
    scores = {g.name: BNScale().scores(g).tolist() for g in find_groups(model, EXAMPLE)}
    assert scores == {"a": [1, 2, 3, 4], "b": [5, 6]}


def test_channels_without_a_norm_are_scored_by_the_lengths_of_their_filters() -> None:
    bare = group()
    lengths = bare.producers[0][1].weight.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(BNScale().scores(bare), lengths)
    BNScale().check([bare, group([1.0])])


def test_a_network_without_norms_is_refused_with_the_way_out() -> None:
    affineless = ChannelGroup("c", (), (("bn", nn.BatchNorm2d(4, affine=False)),), (), 4)
    with pytest.raises(PruningError, match=r"bn_scale: needs batch normalisation .* use l1"):
        BNScale().check([group(), affineless])
    with pytest.raises(PruningError, match="bn_scale"):
        BNScale().regularize([group()])
    model = nn.Sequential(nn.Conv2d(3, 8, 8), nn.Flatten(), nn.Linear(8, 3))
    with pytest.raises(PruningError, match="bn_scale"):
        prune(model, Prune(method=BNScale()), batch=(EXAMPLE, torch.tensor([0, 1])))


def test_training_with_the_penalty_makes_scales_small() -> None:
    def trained(sparsity: float) -> float:
        torch.manual_seed(0)
        model = Dense().train()
        groups = find_groups(model, EXAMPLE)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(EXAMPLE), torch.tensor([0, 1])).backward()
            BNScale(sparsity=sparsity).regularize(groups)
            optimizer.step()
        return float(model.norm.weight.detach().abs().sum())

    assert trained(0.1) < 0.95 * trained(0.0)


def test_the_default_penalty_can_slim_within_its_one_epoch_and_the_papers_cannot() -> None:
    """Without a loss a scale moves by lambda * sum of lr / (1 - momentum): 125 cosine steps."""

    def moved(sparsity: float) -> float:
        one = group([1.0])
        norm = one.norms[0][1]
        settings = Train(epochs=1, lr=0.03, weight_decay=0)
        learner = Learner(norm, settings, 125)
        for _ in range(125):
            zero = 0.0 * norm.weight.sum()
            learner.step(zero, lambda: BNScale(sparsity=sparsity).regularize([one]))
        return 1 - float(norm.weight.detach())

    default = BNScale().sparsity
    assert moved(default) == pytest.approx(default * 0.5 * 0.03 * 125 / 0.1, rel=0.15)
    assert moved(default) > 0.15 and moved(1e-4) < 0.002
