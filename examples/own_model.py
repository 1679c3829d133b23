"""Compress a network of your own on images of your own, from Python.

    python examples/own_model.py --out runs/own

The network has grouped convolutions and takes grey images of 48x40 pixels; the images are made
here, of three classes. Replace `make` and `load` by yours; their names stay references, so that
slimtune can build the network again in its workers, and whenever a saved model is loaded.
"""

import argparse

import numpy as np
from torch import nn

import slimtune as st

HEIGHT, WIDTH = 48, 40


def make(num_classes: int, in_channels: int) -> nn.Module:
    """Return the network, untrained; the same layers each time."""
    return nn.Sequential(
        _layer(in_channels, 16, 3, stride=2),
        _block(16, 32),
        _block(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, num_classes),
    )


def load() -> dict[str, np.ndarray]:
    """Return the images, uint8 (n, height, width), and labels 0..2; the same each time."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    patterns = (np.sin(x / 3), np.sin(np.hypot(x - 20, y - 24) / 3), np.sin(y / 3))
    arrays = {}
    for part, count in (("train", 300), ("test", 150)):
        labels = np.arange(count) % 3
        shifted = np.stack([np.roll(patterns[k], rng.integers(20), axis=1) for k in labels])
        noisy = 128 + 80 * shifted + 40 * rng.normal(size=shifted.shape)
        arrays[f"x_{part}"] = noisy.clip(0, 255).astype(np.uint8)
        arrays[f"y_{part}"] = labels
    return arrays | {"classes": np.array(["bars", "rings", "steps"])}


def _layer(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _block(inputs: int, outputs: int) -> nn.Module:
    grouped = _layer(outputs, outputs, 3, stride=2, groups=4)
    return nn.Sequential(_layer(inputs, outputs, 1), grouped, _layer(outputs, outputs, 1))


def main() -> None:
    """Search, show the front, take the knee, and load it again as a torch module."""
    parser = argparse.ArgumentParser(description="compress a network of one's own")
    parser.add_argument("--out", default="runs/own", help="new folder of the run")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--executor", default="ray", choices=["ray", "inline"])
    options = parser.parse_args()
    run = st.search(
        model=f"{__file__}:make",
        data=f"{__file__}:load",
        out=options.out,
        trials=options.trials,
        executor=options.executor,
        baseline={"epochs": 15, "batch_size": 32},
        space={"train": {"batch_size": 32}},
    )
    print(run.front()[["trial", "accuracy", "size_bytes", "latency_ms", "pipeline"]].to_string())
    folder = run.pick("knee").export(f"{options.out}-knee")
    network = st.load_model(folder, model=f"{__file__}:make")
    left, before = (sum(p.numel() for p in net.parameters()) for net in (network, make(3, 1)))
    print(f"{folder}: {left} of {before} parameters")


if __name__ == "__main__":
    main()
