import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.workload.objects.digests import digest_of
from slimtune.workload.types import Augmentation, Dataset, Split

SCRIPT = """
import torch
from torch import nn
from slimtune.workload.objects.digests import digest_of

def helper(n): return nn.Linear(n, {width})

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = helper(3), 0.5
    def forward(self, x): return self.layer(x) * self.scale

def make(): return Net()

torch.manual_seed(0)
print(digest_of(make()), digest_of(make), digest_of({{"a": torch.arange(3)}}))
"""


def printed(folder: Path, name: str, text: str) -> list[str]:
    file = folder / name
    file.write_text(text)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_another_process_gives_the_same_content_the_same_name(tmp_path: Path) -> None:
    here, there = (printed(tmp_path, f"{n}.py", SCRIPT.format(width=2)) for n in "ab")
    assert here == there and len(set(here)) == 3
    other = printed(tmp_path, "c.py", SCRIPT.format(width=4))
    assert other[0] != here[0] and other[1] != here[1] and other[2] == here[2]


def networks() -> list[nn.Module]:
    found = []
    for change in (lambda n: None, lambda n: setattr(n, "scale", 2.0), flip_one_bit):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        change(network)
        found.append(network)
    found.append(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU()))
    return found


def flip_one_bit(network: nn.Sequential) -> None:
    with torch.no_grad():
        network[0].weight[0, 0] = torch.nextafter(network[0].weight[0, 0], torch.tensor(9.0))


def test_one_bit_of_a_weight_counts_and_the_mode_does_not() -> None:
    names = [digest_of(network) for network in networks()]
    assert len(set(names)) == 4
    assert digest_of(networks()[0].eval()) == names[0]


def split(shift: int) -> Split:
    return Split(np.full((2, 4, 4, 1), 7 + shift, np.uint8), np.array([0, 1]))


def dataset(shift: int = 0, flip: bool = False) -> Dataset:
    mine = Augmentation(flip=flip)
    return Dataset("mine", split(0), split(shift), ("a", "b"), (0.5,), (0.5,), mine)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(4, np.uint8), np.zeros(4, np.int8)),
        (np.zeros((2, 2)), np.zeros(4)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)),
        ({"x_train": 1}, {"x_test": 1}),
        (dataset(), dataset(shift=1)),
        (dataset(), dataset(flip=True)),
        (functools.partial(int, base=2), functools.partial(int, base=3)),
        (lambda: 1, lambda: 2),
        (1, True),
        ([1, 2], [2, 1]),
    ],
)
def test_other_contents_have_other_names(one: object, other: object) -> None:
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) == digest_of(one)


def test_what_a_function_closes_over_counts() -> None:
    def maker(width: int):
        return lambda: nn.Linear(1, width)

    assert digest_of(maker(1)) != digest_of(maker(2))


def test_what_has_no_source_is_named_by_its_bytecode() -> None:
    spaces: list[dict] = [{}, {}, {}]
    for space, body in zip(spaces, ("x + 1", "x + 1", "x + 2"), strict=True):
        exec(f"def f(x): return {body}", space)
    first, again, other = (digest_of(space["f"]) for space in spaces)
    assert first == again != other


def test_a_ring_of_references_ends() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    assert len(digest_of(ring)) == 64
