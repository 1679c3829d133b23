"""Random scores: the seed decides, and nothing else."""

import subprocess
import sys

import torch

from slimtune.compression.pruning import Random
from slimtune.compression.pruning.protocol import ChannelGroup

ELSEWHERE = """
from slimtune.compression.pruning import Random
from slimtune.compression.pruning.protocol import ChannelGroup
group = ChannelGroup("layer1.0.conv1", (), (), (), 6, seed=3)
print(Random().scores(group).tolist())
"""


def scores(name: str = "layer1.0.conv1", channels: int = 6, seed: int = 3) -> list[float]:
    group = ChannelGroup(name, (), (), (), channels, seed=seed)
    return Random().scores(group).tolist()


def test_another_process_draws_the_same() -> None:
    """Oracle 21."""
    command = [sys.executable, "-c", ELSEWHERE]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == str(scores())


def test_another_seed_or_layer_draws_otherwise() -> None:
    """Oracle 21."""
    assert len({tuple(scores(seed=seed)) for seed in range(20)}) == 20
    assert scores("conv1") != scores("conv2")


def test_torchs_own_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = scores()
    assert torch.equal(torch.rand(3), expected)
    assert scores() == first


def test_draws_are_spread_evenly_over_0_to_1() -> None:
    values = torch.tensor(scores(channels=4096))
    assert 0 <= values.min() and values.max() < 1
    assert all(abs(int((values < q).sum()) / 4096 - q) < 0.03 for q in (0.1, 0.25, 0.5, 0.9))
