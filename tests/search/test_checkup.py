import json
from pathlib import Path

import pytest

from slimtune.errors import ModelError
from slimtune.search.checkup import check_up, load_settled
from slimtune.search.config import make_config
from slimtune.workload.own_code import allow_all_code

FLAT = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, num_classes))
    def forward(self, x): return x.flatten(1) @ self.weight

class Odd(Flat):
    def forward(self, x): return torch.linalg.matrix_exp(x[:, 0]).flatten(1) @ self.weight
"""


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    file = tmp_path / "flat.py"
    file.write_text(FLAT)
    allow_all_code()
    return file


def test_the_command_at_the_end_leaves_out_what_does_not_work(flat: Path) -> None:
    found = check_up(make_config({"model": f"{flat}:Flat", "data": "digits"}))
    assert found.baseline["params"] == 640 and found.image_shape == (1, 8, 8)
    assert found.images == {"train": 1008, "validation": 250, "test": 539}
    assert "'space.prune.method=[none,l1_unstructured]'" not in found.command
    assert "--set 'space.prune.method=[none]'" in found.command
    assert "--set 'space.distill.method=[none,base,dkd]'" in found.command
    assert found.trial["seconds"] > found.trial["fine_tuning"] > 0
    assert 0 <= found.host["latency_accepted_share"] <= 1 and found.host["cores"] >= 1
    assert json.loads(json.dumps(found.to_dict()))["classes"] == 10


def test_a_network_without_a_file_is_of_no_use(flat: Path) -> None:
    with pytest.raises(ModelError, match="Odd cannot be exported: .*ONNX"):
        check_up(make_config({"model": f"{flat}:Odd", "data": "digits"}))


@pytest.mark.parametrize("epochs", [0, 1])
def test_only_a_network_that_a_search_trains_first_has_its_norms_settled(epochs: int) -> None:
    """Else the logits of an untrained MobileNetV2 are so alike that no integers tell them."""
    config = make_config({"model": "resnet8", "data": "digits", "baseline": {"epochs": epochs}})
    buffers = dict(load_settled(config).baseline.named_buffers())
    means = [mean for name, mean in buffers.items() if name.endswith("running_mean")]
    assert means and all(bool(mean.any()) == bool(epochs) for mean in means)
