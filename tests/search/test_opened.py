import subprocess
import sys
from pathlib import Path

import pytest
import torch

import slimtune
from slimtune.compression.training.loop import network_logits
from slimtune.errors import RunError, UserError
from slimtune.results.run import open_run as open_light
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.workload.types import Workload


@pytest.fixture(scope="module")
def run_path(digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    space = {"quantize": {"method": "apot"}, "prune": {"method": "l1"}, "train": {"epochs": 1}}
    config = digits_config.model_copy(
        update={"space": {**space, "distill": {"method": "none"}}, "trials": 1}
    )
    return run_search(config, tmp_path_factory.mktemp("runs") / "a").path


def test_a_picked_member_is_a_torch_module_and_a_delivered_one_the_same(
    run_path: Path, digits: Workload, tmp_path: Path
) -> None:
    best = slimtune.open_run(run_path).pick("knee", max_size_bytes=1e9, min_accuracy=0.0)
    network = best.load()
    assert not network.training
    folder = best.export(tmp_path / "deploy", formats=["onnx", "torch"])
    images = digits.validation.images[:16]
    first = network_logits(network, images, digits)
    assert torch.equal(first, network_logits(slimtune.load_model(folder), images, digits))


def test_weights_that_are_not_the_trials_are_not_loaded(run_path: Path) -> None:
    member = slimtune.open_run(run_path).trial(0)
    weights = member.path / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        with pytest.raises(RunError, match="SHA-256 mismatch for trial 0"):
            member.load()
    finally:
        weights.write_bytes(before)


def test_a_run_opened_without_torch_says_how_to_load(run_path: Path) -> None:
    with pytest.raises(UserError, match=r"slimtune\.open_run"):
        open_light(run_path).trial(0).load()


def test_opening_a_run_imports_no_torch(run_path: Path) -> None:
    code = (
        "import sys, slimtune; slimtune.open_run(sys.argv[1]).pick('knee'); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(run_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
