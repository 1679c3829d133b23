"""A pruned ResNet-20 to ONNX: our export against `torch.onnx.export(dynamo=True)` as it comes.

    python benchmarks/export.py [--short]

Both in this process, in turns, after one of each that does not count. Ours is all of
`export_file`: the graph, folding, the uint8 input, short names, the checker. The two files'
logits are compared.
"""

import io
import time
from collections.abc import Iterator

import numpy as np
import torch
from table import Row, run_script
from torch import Tensor, nn

from slimtune.compression.export import trace
from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.compression.network.copies import copied
from slimtune.compression.pruning.stage.surgery import find_groups, remove_channels
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

SHAPE, MEAN, STD = (3, 32, 32), (0.5,) * 3, (0.25,) * 3
EXAMPLE = torch.zeros(2, *SHAPE)


class Normalised(nn.Module):
    """The network behind its normalisation, as ours is: the same file semantics."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Map uint8 pixels to logits."""
        return self.network((pixels.float() / 255 - 0.5) / 0.25)


def pruned(seed: int) -> nn.Module:
    """Return a ResNet-20 without about half of its inner channels, others for each seed."""
    torch.manual_seed(seed)
    network = copied(build(Architecture("resnet20", 10, 3)), (3, 32, 32))
    removals = {
        group.name: torch.randperm(group.channels)[: group.channels // 2].tolist()
        for group in find_groups(network, EXAMPLE)
    }
    remove_channels(network, EXAMPLE, removals)
    return network.eval()


def ours(network: nn.Module) -> bytes:
    """Export as a trial does."""
    return export_file(
        network,
        Signature(SHAPE, MEAN, STD, tuple("0123456789")),
        calibration=np.zeros((1, 32, 32, 3), np.uint8),
        observe=observe_ranges,
    ).onnx


def theirs(network: nn.Module, dynamo: bool = True) -> bytes:
    """Export as torch does when asked plainly."""
    file, example = io.BytesIO(), torch.zeros(2, *SHAPE, dtype=torch.uint8)
    names = {"input_names": ["images"], "output_names": ["logits"]}
    with trace._quiet():
        if dynamo:
            shapes = ({0: torch.export.Dim("n")},)
            program = torch.onnx.export(
                Normalised(network).eval(), (example,), dynamo=True, dynamic_shapes=shapes, **names
            )
            program.save(file)
        else:
            axes = {"images": {0: "n"}, "logits": {0: "n"}}
            torch.onnx.export(
                Normalised(network).eval(), (example,), file, dynamo=False, dynamic_axes=axes,
                **names,
            )  # fmt: skip
    return file.getvalue()


def rows(short: bool) -> Iterator[Row]:
    """Time both in turns."""
    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    by_dynamo, by_script, seconds, apart, sizes = [], [], [], [], []
    for seed in range(-1, 3 if short else 9):
        network = pruned(seed + 1)
        began = time.perf_counter()
        mine = ours(network)
        first = time.perf_counter()
        dynamo = theirs(network)
        second = time.perf_counter()
        theirs(network, dynamo=False)
        third = time.perf_counter()
        logits = [predict(file, images, mean=MEAN, std=STD) for file in (mine, dynamo)]
        if seed < 0:
            continue
        seconds.append(first - began)
        by_dynamo.append((second - first) / (first - began))
        by_script.append((third - second) / (first - began))
        apart.append(float(np.abs(logits[0] - logits[1]).max() / np.abs(logits[1]).max()))
        sizes.append(len(mine) / len(dynamo))
    note = (
        f"ours {min(seconds):.3f} s at best; largest difference of a logit {max(apart):.1e} of "
        f"the largest; our file {np.median(sizes):.2f} of the bytes"
    )
    yield Row("export of a pruned ResNet-20", "dynamo=True", tuple(by_dynamo), 5, note=note)
    yield Row("export of a pruned ResNet-20", "dynamo=False", tuple(by_script), 1)


if __name__ == "__main__":
    run_script(__doc__, rows)
