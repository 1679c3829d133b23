"""Shared by all tests: a small real workload, trained once a session."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from slimtune.results.store.sealed import seal
from slimtune.search.finals import joint_measurement
from slimtune.search.review import compare, evaluate
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.setup import load_workload, train_baseline
from slimtune.search.trial import trial
from slimtune.workload.datasets import load_dataset
from slimtune.workload.own_code import consent_ends
from slimtune.workload.types import Workload

NET = """
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, in_channels=1):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.wide = nn.Conv2d(16, 32, 1)
        self.grouped = nn.Conv2d(32, 32, 3, stride=2, padding=1, groups=4)
        self.norm2 = nn.BatchNorm2d(32)
        self.out = nn.Conv2d(32, 32, 1)
        self.hidden = nn.Linear(32, 24)
        self.head = nn.Linear(24, num_classes)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.wide(x))
        x = F.relu(self.norm2(self.grouped(x)) + x[:, :, ::2, ::2])
        x = F.relu(self.out(x)).mean((2, 3))
        return self.head(F.relu(self.hidden(x)))


def make(num_classes, in_channels):
    return Net(num_classes, in_channels)


def wrong():
    return {"a": 1}
"""

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis_settings.register_profile(
    "slimtune", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("slimtune")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> None:
    """Listen to SIGINT: a shell that starts the tests in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _short_rounds() -> Iterator[None]:
    """Spread latency rounds over less time: most tests ask what is recorded, not how steadily."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (trial, compare, evaluate):
            patch.setattr(module, "LATENCY_SECONDS", 0.1)
        patch.setattr(trial, "PREVIEW_SECONDS", 0.05)
        patch.setattr(joint_measurement, "FRONT_LATENCY_SECONDS", 0.2)
        patch.setattr(joint_measurement, "MOST_LATENCY_SECONDS", 2.0)
        yield


@pytest.fixture(autouse=True)
def _consent_ends_with_the_test() -> Iterator[None]:
    with consent_ends():
        yield


@pytest.fixture
def own_net(tmp_path: Path) -> Path:
    """A file with a network of its own: grouped convolutions, functional ReLUs, two-layer head."""
    file = tmp_path / "net.py"
    file.write_text(NET)
    return file


@pytest.fixture(scope="session")
def digits_config() -> SearchConfig:
    """A search on digits small enough for a test: ResNet-8, one short epoch a trial."""
    return make_config(
        {
            "model": "resnet8",
            "data": "digits",
            "trials": 4,
            "executor": "inline",
            "baseline": {"epochs": 4, "batch_size": 64},
            "space": {"train": {"epochs": 1, "batch_size": 64}},
        }
    )


@pytest.fixture(scope="session")
def digits(digits_config: SearchConfig) -> Workload:
    """The digits workload with a baseline of about 95 %; treat as read-only."""
    torch.set_num_threads(1)
    workload = load_workload(digits_config, load_dataset("digits"))
    train_baseline(workload, digits_config, lambda epoch: None)
    return workload


@pytest.fixture(scope="session")
def digits_run(digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of four trials on digits; treat as read-only."""
    out = tmp_path_factory.mktemp("digits") / "run"
    run_search(digits_config, out)
    return out


@pytest.fixture
def run_on_other_data(digits_run: Path, tmp_path: Path) -> Path:
    """A copy of that search as if it had been made on other data than today's digits."""
    copy = shutil.copytree(digits_run, tmp_path / "copy")
    manifest = json.loads((copy / "run.json").read_text())
    manifest["workload"]["fingerprint"] = "0" * 64
    (copy / "run.json").write_bytes(seal(manifest))
    return copy


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """CIFAR-10 and third-party checkpoints, where the workplace provides them."""
    if not (SHARED / "data" / "cifar10").is_dir():
        pytest.skip("needs ../shared with CIFAR-10 and the third-party checkpoints")
    return SHARED
