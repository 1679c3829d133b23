"""Oracle 2: a network whose removed channels are silenced computes what the smaller one does."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.stage.stage import KeptChannels, prune
from slimtune.compression.stages import Prune
from slimtune.measurement.accuracy import top1_agreement
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.shortcut import SelectionConv2d, materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

METHODS = [name for name in PRUNING if PRUNING[name].removes == "channels"]
SMALL = ["resnet20", "resnet20b"]
LARGE = ["resnet18", "resnet50", "torchvision:mobilenet_v2", "torchvision:densenet121"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = (
    torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
    torch.arange(32) % 10,
)
COARSE = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 3), np.uint8)
PIXELS = COARSE.repeat(8, axis=1).repeat(8, axis=2)  # fine noise looks all the same to a network


def lively(name: str) -> nn.Module:
    """Build with batch-norm statistics and weights that a wrong index would betray."""
    torch.manual_seed(1)
    model = build(Architecture(name, 10, 3))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return settled(materialize_shortcuts(model), BATCH[0])


def settled(model: nn.Module, images: Tensor) -> nn.Module:
    """Take statistics of images, or a deep network with random weights answers all the same."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def halved(model: nn.Module, method: str, scope: str = "local") -> tuple[nn.Module, KeptChannels]:
    cut = copy.deepcopy(model)
    settings = Prune(method=PRUNING[method](), amount=0.5, scope=scope, round_to=8)
    return cut, prune(cut, settings, batch=BATCH, seed=5)


def silenced(model: nn.Module, kept: KeptChannels) -> nn.Module:
    """Zero what the removed channels pass through, found by the networks' own plans."""
    quiet = copy.deepcopy(model)
    named = dict(quiet.named_modules())
    gone = {
        name: sorted(set(range(len(named[name].weight))) - set(stay))
        for name, stay in kept.items()
    }
    order = [m for m in quiet.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for name, indices in gone.items():
        silence(named[name], indices)
        for layer in itertools.islice(order, order.index(named[name]) + 1, None):
            own = isinstance(layer, nn.BatchNorm2d) or 1 < layer.groups
            if not own or len(layer.weight) != len(named[name].weight):
                break  # a batch norm, or a depthwise convolution, follows what it belongs to
            silence(layer, indices)
    for name, layer in named.items():
        if isinstance(layer, SelectionConv2d):  # adds to the stream that conv2 writes
            silence(layer, gone.get(name.replace("shortcut", "conv2"), []))
    if hasattr(quiet, "features") and hasattr(quiet.features, "denseblock1"):
        silence_dense(quiet, gone)
    return quiet


def silence_dense(model: nn.Module, gone: dict[str, list[int]]) -> None:
    """Zero the norms behind DenseNet's concatenations, each of which covers many layers."""
    features, before = model.features, "features.conv0"
    for block in range(1, 5):
        layers = getattr(features, f"denseblock{block}")
        sources = [before]
        for number, layer in enumerate(layers.values(), start=1):
            silence(layer.norm1, together(model, sources, gone))
            sources.append(f"features.denseblock{block}.denselayer{number}.conv2")
        last = features.norm5 if block == 4 else getattr(features, f"transition{block}").norm
        silence(last, together(model, sources, gone))
        before = f"features.transition{block}.conv"


def together(model: nn.Module, sources: list[str], gone: dict[str, list[int]]) -> list[int]:
    """Return the removed positions within a concatenation of the sources' outputs."""
    positions, start = [], 0
    for name in sources:
        positions += [start + index for index in gone.get(name, ())]
        start += model.get_submodule(name).out_channels
    return positions


def silence(layer: nn.Module, indices: list[int]) -> None:
    for parameter in (layer.weight, layer.bias):
        if parameter is not None:
            parameter.data[indices] = 0


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(BATCH[0])


def distance(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


def check_removal(name: str, method: str, scope: str = "local") -> None:
    model = lively(name)
    cut, kept = halved(model, method, scope)
    before, after = outputs(model), outputs(cut)
    assert distance(after, outputs(silenced(model, kept))) < 1e-4
    assert distance(after, before) > 1e-2  # it was no easy case
    assert before.std(dim=0).min() > 1e-3 * before.abs().max()
    sizes = [sum(p.numel() for p in network.parameters()) for network in (cut, model)]
    assert sizes[0] < 0.45 * sizes[1]


def check_onnx(name: str, method: str) -> None:
    """The file answers as the pruned network does, on images that it tells apart."""
    cut, _ = halved(lively(name), method)
    scaled = (PIXELS.astype(np.float32) / 255 - MEAN) / np.asarray(STD)
    images = torch.from_numpy(scaled.astype(np.float32)).permute(0, 3, 1, 2)
    settled(cut, images[:100])
    with torch.no_grad():
        logits = torch.cat([cut(chunk) for chunk in images.split(50)])
        classifier = [module for module in cut.modules() if isinstance(module, nn.Linear)][-1]
        classifier.bias -= logits.mean(dim=0)
        expected = (logits - logits.mean(dim=0)).numpy()
    file = export_file(
        cut,
        Signature((3, 32, 32), MEAN, STD, tuple("abcdefghij")),
        calibration=PIXELS[:8],
        observe=observe_ranges,
    ).onnx
    assert len(set(expected.argmax(1).tolist())) > 5
    assert top1_agreement(predict(file, PIXELS, mean=MEAN, std=STD), expected) >= 0.995


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMALL)
def test_small_networks_lose_half_their_channels_exactly(name: str, method: str) -> None:
    check_removal(name, method)


@pytest.mark.parametrize("method", METHODS)
def test_small_networks_lose_half_their_channels_over_all_layers(method: str) -> None:
    cut, kept = halved(lively("resnet20"), method, "global")
    assert distance(outputs(cut), outputs(silenced(lively("resnet20"), kept))) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", LARGE)
def test_large_networks_lose_half_their_channels_exactly(name: str, method: str) -> None:
    check_removal(name, method)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMALL)
def test_the_file_of_a_small_pruned_network_agrees_with_it(name: str, method: str) -> None:
    check_onnx(name, method)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"), zip(LARGE, ["fpgm", "bn_scale", "taylor", "group_norm"], strict=True)
)
def test_the_file_of_a_large_pruned_network_agrees_with_it(name: str, method: str) -> None:
    check_onnx(name, method)
