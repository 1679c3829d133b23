from pathlib import Path

import pytest
import torch

import slimtune as st
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

RECIPE = {"prune": {"method": "l1", "amount": 0.5}, "train": {"epochs": 0}}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(build(Architecture("resnet8", 10, 1)), file)
    return file


@pytest.fixture(scope="session")
def made(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> st.CompressedModel:
    out = tmp_path_factory.mktemp("made") / "small"
    settings = {"model": "resnet8", "weights": str(weights), "data": "digits"}
    return st.compress(RECIPE, out=out, quiet=True, **settings)
