"""Shared by all tests: a small real workload, trained once a session."""

from pathlib import Path

import pytest
import torch

from slimtune.search.config import SearchConfig, make_config
from slimtune.search.search import run_search
from slimtune.search.setup import load_workload, train_baseline
from slimtune.workload.datasets import load_dataset
from slimtune.workload.types import Workload

SHARED = Path(__file__).parents[2] / "shared"


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


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """CIFAR-10 and third-party checkpoints, where the workplace provides them."""
    if not (SHARED / "data" / "cifar10").is_dir():
        pytest.skip("needs ../shared with CIFAR-10 and the third-party checkpoints")
    return SHARED
