"""Where the channels of a group lie in the parameters around them."""

import torch
from torch import Tensor, nn

from slimtune.compression.pruning.group_parameters import filters, readers, scales, shifts
from slimtune.compression.pruning.protocol import ChannelGroup
from slimtune.compression.pruning.stage.surgery import find_groups
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.zoo.cifar_resnet import CifarResNet

EXAMPLE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Mixed(nn.Module):
    """Concatenated, normalised together, flattened, read twice; and a transposed layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.up = nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 2, 1)
        self.norm = nn.BatchNorm2d(6)
        self.pool, self.head = nn.AdaptiveAvgPool2d(2), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        x = self.norm(torch.cat([self.up(a), a], 1)).relu()
        return self.head(self.pool(x).flatten(1))


def test_channels_are_followed_through_concatenation_and_flattening() -> None:
    model = Mixed()
    groups = {group.name: group for group in find_groups(model, EXAMPLE)}
    (norm,) = scales(groups["a"])
    assert norm.name == "norm" and norm.indices.tolist() == [2, 3, 4, 5]
    up, head = readers(groups["a"])
    assert (up.name, up.axis, up.indices.tolist()) == ("up", 0, [0, 1, 2, 3])
    assert (head.name, head.axis, head.indices.tolist()) == ("head", 1, list(range(8, 24)))
    (produced,) = filters(groups["up"])
    assert (produced.axis, produced.rows(produced.tensor).shape) == (1, (2, 4))


def test_what_a_member_says_belongs_to_a_channel_is_what_the_channel_is_read_by() -> None:
    """Silencing a channel changes exactly the products with those weights."""
    model = Mixed().eval()
    group = next(g for g in find_groups(model, EXAMPLE) if g.name == "a")
    head = readers(group)[1]
    keep = torch.tensor([1.0, 0, 1, 1])
    deaf = Mixed().eval()
    deaf.load_state_dict(model.state_dict())
    outside = 1 - head.spread(torch.ones(4))
    deaf.head.weight.data *= head.spread(keep) + outside
    model.norm.weight.data[3] = 0  # channel 1 of a, behind the two of up
    model.norm.bias.data[3] = 0
    with torch.no_grad():
        torch.testing.assert_close(deaf(EXAMPLE), model(EXAMPLE))


def test_rows_and_spread_are_each_others_inverse() -> None:
    model = Mixed()
    for group in find_groups(model, EXAMPLE):
        factors = torch.rand(group.channels) + 1
        for member in (*filters(group), *scales(group), *shifts(group), *readers(group)):
            scaled = member.tensor.detach() * member.spread(factors)
            before = member.rows(member.tensor)
            torch.testing.assert_close(member.rows(scaled), before * factors[:, None])


def test_frozen_selections_and_missing_parameters_are_no_members() -> None:
    model = materialize_shortcuts(CifarResNet(10, 3, depth=8))
    group = find_groups(model, EXAMPLE)[0]
    assert "layer2.0.shortcut" in [name for name, _ in group.consumers]
    assert "layer2.0.shortcut" not in [member.name for member in readers(group)]
    bare = nn.Conv2d(3, 4, 1, bias=False)
    plain = (("bn", nn.BatchNorm2d(4, affine=False)),)
    alone = ChannelGroup("c", (("c", bare),), plain, (), 4)
    assert not scales(alone) and not shifts(alone)
