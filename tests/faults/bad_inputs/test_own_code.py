"""Rows 20 to 23, 29 and 30: networks, data and metrics of the user's own that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from slimtune.cli.main import main

CODE = """
import torch
from torch import nn

def make_net(): return {"a": 1}

class Colour(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, num_classes)
    def forward(self, x): return self.head(self.conv(x).mean((2, 3)))

class Ten(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 7)
    def forward(self, x): return self.head(x.flatten(1))

class Two(Ten):
    def forward(self, x): return {"logits": super().forward(x)}

class Flat(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, num_classes))
    def forward(self, x): return x.flatten(1) @ self.weight

class Odd(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 1)
        self.head = nn.Linear(4, num_classes)
    def forward(self, x):
        return self.head(torch.linalg.matrix_exp(self.conv(x)).mean((2, 3)))

def no_data(): return 3
def nan(logits, labels): return float("nan")
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "my.py"
    file.write_text(CODE)
    return file


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: str) -> str:
    """Return the one line of a search that is refused with nothing written."""
    assert main(["search", "--no-ray", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert not out.exists()
    return error


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("resnt18", "unknown model 'resnt18'. Did you mean 'resnet18'"),
        ("torchvison:resnet18", "Did you mean 'torchvision:resnet18'"),
        ("torchvision:resnt18", "unknown torchvision model 'resnt18'. Did you mean 'resnet18'"),
        ("./gone.py:make", "gone.py does not exist"),
        ("gone.mod:make", "no module named 'gone'"),
        (
            "./net.py",
            "'./net.py' names no network; name a function of yours as FILE.py:",
        ),
        ("timm", "'timm' needs a network after its name, such as timm:resnet18"),
    ],
)
def test_an_unknown_model_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reference: str, rule: str
) -> None:
    arguments = ("--model", reference, "--data", "digits")
    assert rule in refused(capsys, tmp_path / "run", *arguments)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("build", "my.py has no 'build' (found: make_net, Colour"),
        ("make_net", "returned dict, expected nn.Module"),
        ("Colour", "the model expects 3 channels, the data has 1; let it take in_channels, or"),
        ("Ten", "returns (7,) values an image, but the data has 10 classes"),
        ("Two", "returns dict, expected one tensor of logits"),
        ("Flat", "layers that stay float32 (weight)"),
        ("Odd", "expressible in ONNX"),
    ],
)
def test_a_network_of_ones_own_that_does_not_fit_is_refused(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, rule: str
) -> None:
    error = refused(capsys, tmp_path / "run", "--model", f"{mine}:{name}", "--data", "digits")
    assert rule in error


def test_the_way_out_of_wrong_channels_works(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", f"{mine}:Colour", "--data", "digits@channels=3"]
    assert main(["search", *arguments, "--print-config"]) == 0
    assert "digits@channels=3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--data", "no_data", "returned int, expected arrays by name"),
        ("--objective", "nan:maximize", "nan:maximize must return a finite number, but got nan"),
        ("--objective", "nan", "needs a direction; write"),
        ("--objective", "none:maximize", "my.py has no 'none'"),
    ],
)
def test_data_and_metrics_of_ones_own_that_do_not_fit_are_refused(
    mine: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    rule: str,
) -> None:
    arguments = ["--model", "resnet8", "--data", "digits", option, f"{mine}:{value}"]
    if option == "--objective":
        arguments += ["--objective", "size_bytes"]
    assert rule in refused(capsys, tmp_path / "run", *arguments)


def test_code_in_a_config_is_not_run(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, config = tmp_path / "ran", tmp_path / "cfg.yaml"
    mine.write_text(f"open({str(marker)!r}, 'w')\n")
    config.write_text(f"trials: 2\nmodel: {mine}:make\n")
    error = refused(capsys, tmp_path / "run", "-c", str(config))
    assert f"{config}:2: model: code reference '{mine}:make' in a config needs" in error
    assert not marker.exists()


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("npz:{}/gone.npz", "does not exist"),
        ("npz:{}/float.npz", "must be uint8 pixels"),
        (
            "npz:{}/below.npz",
            "below.npz: y_train must be 0..k-1, but one is -1; number the classes",
        ),
        ("{}", "names no dataset; write folder:/"),
        ("{}/float.npz", "names no dataset; write npz:/"),
        ("{}/gone.zip", "names no dataset; write folder:DIR, parquet:DIR, npz:FILE"),
        ("torchvision:FashonMNIST", "Did you mean 'FashionMNIST'"),
        ("digits@size=none", "size must be HEIGHTxWIDTH"),
        ("npy:{}", "Did you mean 'npz'"),
    ],
)
def test_other_data_that_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reference: str, rule: str
) -> None:
    labels = np.arange(4) % 2
    np.savez(tmp_path / "float.npz", x_train=np.zeros((4, 8, 8)), y_train=labels)
    np.savez(tmp_path / "below.npz", x_train=np.zeros((4, 8, 8), np.uint8), y_train=labels - 1)
    arguments = ("--model", "resnet8", "--data", reference.format(tmp_path))
    assert rule in refused(capsys, tmp_path / "run", *arguments)


def test_doctor_refuses_alike(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", f"{mine}:make_net", "--data", "digits"]) == 2
    assert "returned dict, expected nn.Module" in capsys.readouterr().err
