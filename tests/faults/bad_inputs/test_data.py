"""Datasets that cannot be used, through the command line: one line, exit code 2."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimtune.cli.main import main


def write_images(folder: Path, count: int = 4, mode: str = "RGB", size: int = 8) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(count):
        shape = (size, size, 3) if mode == "RGB" else (size, size)
        pixels = generator.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def write_dataset(folder: Path, mode: str = "RGB", size: int = 8) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_images(folder / split / name, mode=mode, size=size)


def empty(folder: Path) -> None:
    folder.mkdir()


def no_train(folder: Path) -> None:
    write_images(folder / "Pictures" / "cat")


def nothing_to_spare(folder: Path) -> None:
    write_images(folder / "train" / "cat", count=1)
    write_images(folder / "train" / "dog", count=1)


def unknown_validation_class(folder: Path) -> None:
    write_dataset(folder)
    write_images(folder / "val" / "eel")


def one_class(folder: Path) -> None:
    write_images(folder / "train" / "cat")
    write_images(folder / "test" / "cat")


def empty_class(folder: Path) -> None:
    write_dataset(folder)
    (folder / "train" / "eel").mkdir()


def unknown_class(folder: Path) -> None:
    write_dataset(folder)
    write_images(folder / "test" / "eel")


def no_image(folder: Path) -> None:
    write_dataset(folder)
    (folder / "train" / "cat" / "9.png").write_bytes(b"no image")


def cut_image(folder: Path) -> None:
    write_dataset(folder)
    file = folder / "train" / "cat" / "0.png"
    file.write_bytes(file.read_bytes()[:60])


def missing(folder: Path) -> None:
    assert not folder.exists()


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (missing, "does not exist"),
        (empty, "has no train/ sub-folder"),
        (no_train, "has no train/ sub-folder (found: Pictures); train/ must hold"),
        (nothing_to_spare, "has no test images and none to spare"),
        (unknown_validation_class, "the images of val/ have class 'eel', which train/ lacks"),
        (one_class, "needs at least 2 class folders"),
        (empty_class, "class 'eel' has no images"),
        (unknown_class, "class 'eel'"),
        (no_image, "9.png"),
        (cut_image, "0.png"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line_that_names_it(
    tmp_path: Path,
    make: Callable[[Path], None],
    rule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / "data", tmp_path / "run"
    make(folder)
    arguments = ["--model", "resnet8", "--data", f"folder:{folder}", "--out", str(out)]
    assert main(["search", *arguments]) == 2
    error = capsys.readouterr().err
    assert rule in error and str(folder) in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("content", [None, b"PAR1 no table PAR1"])
def test_a_parquet_folder_without_a_readable_shard_is_one_line(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "data", tmp_path / "run"
    folder.mkdir()
    if content is not None:
        (folder / "train-00000-of-00001.parquet").write_bytes(content)
        (folder / "test-00000-of-00001.parquet").write_bytes(content)
    arguments = ["--model", "resnet8", "--data", f"parquet:{folder}", "--out", str(out)]
    assert main(["search", *arguments]) == 2
    error = capsys.readouterr().err
    assert str(folder) in error and error.count("\n") == 1
    assert not out.exists()


def test_images_too_small_for_the_network_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["--model", "torchvision:alexnet", "--data", "digits", "--out", str(out)]
    assert main(["search", *arguments]) == 2
    error = capsys.readouterr().err
    assert "cannot run on 1x8x8 images" in error and error.count("\n") == 1
    assert not out.exists()


def test_a_network_that_cannot_be_pruned_is_refused_before_any_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "data", tmp_path / "run"
    write_dataset(folder, size=8)
    net = tmp_path / "flat.py"
    net.write_text(
        "from torch import nn\n\n"
        "def make(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))\n"
    )
    arguments = ["--model", f"{net}:make", "--data", f"folder:{folder}"]
    assert main(["search", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "--set space.prune.method=none" in error and error.count("\n") == 1
    assert not out.exists()
