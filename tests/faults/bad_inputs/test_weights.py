"""Weights files that cannot be used, through the command line: one line, exit code 2."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slimtune.cli.main import main
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def network(classes: int = 10, channels: int = 1, name: str = "resnet8") -> torch.nn.Module:
    return build(Architecture(name, classes, channels))


def missing(folder: Path) -> Path:
    return folder / "no.safetensors"


def directory(folder: Path) -> Path:
    return folder


def cut_safetensors(folder: Path) -> Path:
    file = folder / "w.safetensors"
    save_weights(network(), file)
    file.write_bytes(file.read_bytes()[:-100])
    return file


def cut_pth(folder: Path) -> Path:
    file = folder / "w.pth"
    torch.save(network().state_dict(), file)
    file.write_bytes(file.read_bytes()[:1000])
    return file


def empty_file(folder: Path) -> Path:
    file = folder / "w.pth"
    file.write_bytes(b"")
    return file


def whole_module(folder: Path) -> Path:
    file = folder / "w.pth"
    torch.save(network(), file)
    return file


def other_width(folder: Path) -> Path:
    file = folder / "w.safetensors"
    save_weights(network(name="resnet8x2"), file)
    return file


def other_depth(folder: Path) -> Path:
    file = folder / "w.safetensors"
    save_weights(network(name="resnet20"), file)
    return file


def other_classes(folder: Path) -> Path:
    file = folder / "w.safetensors"
    save_weights(network(classes=7), file)
    return file


def other_channels(folder: Path) -> Path:
    file = folder / "w.safetensors"
    save_weights(network(channels=3), file)
    return file


def not_finite(folder: Path) -> Path:
    model, file = network(), folder / "w.safetensors"
    model.conv1.weight.data[0] = torch.nan
    save_weights(model, file)
    return file


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (missing, "does not exist"),
        (directory, "is a folder; name the file in it"),
        (cut_safetensors, "cannot be read as weights"),
        (cut_pth, "cannot be read as weights"),
        (empty_file, "cannot be read as weights"),
        (whole_module, "contains a pickled object, not plain weights"),
        (other_width, "in the file, "),
        (other_depth, "unexpected"),
        (other_classes, "the file has 7 classes, the data 10"),
        (other_channels, "the file expects images of 3 channels, the data has 1"),
        (not_finite, "must be finite"),
    ],
)
def test_weights_that_cannot_be_used_are_one_line_that_names_the_file(
    tmp_path: Path,
    make: Callable[[Path], Path],
    rule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, out = make(tmp_path), tmp_path / "run"
    arguments = ["--model", "resnet8", "--data", "digits", "--weights", str(file)]
    assert main(["search", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert rule in error and str(file) in error
    assert error.startswith("error: ") and error.count("\n") == (3 if "pickled" in error else 1)
    assert not out.exists()


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
@pytest.mark.parametrize("plain", [True, False])
def test_a_pickle_is_never_run(
    tmp_path: Path, name: str, plain: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file, marker, out = tmp_path / name, tmp_path / "ran", tmp_path / "run"
    if plain:
        file.write_bytes(pickle.dumps(Trap(marker)))
    else:
        torch.save({"state_dict": Trap(marker)}, file)
    for verb in (["search", "--out", str(out)], ["evaluate"]):
        arguments = ["--model", "resnet8", "--data", "digits", "--weights", str(file)]
        assert main([*verb, *arguments]) == 2
        error = capsys.readouterr().err
        assert str(file) in error and error.count("\n") == (3 if "pickled" in error else 1)
        assert not marker.exists()
        assert not out.exists()
