import json
import shlex
from pathlib import Path

import pytest

from slimtune.errors import ModelError
from slimtune.search.forecast.checkup import Checkup, check_up
from slimtune.search.forecast.doctor import Finding
from slimtune.search.settings.config import make_config
from slimtune.workload.own_code import allow_all_code

FLAT = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, num_classes))
    def forward(self, x): return x.flatten(1) @ self.weight

class Normed(Flat):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.norm = nn.BatchNorm2d(1)
    def forward(self, x): return super().forward(self.norm(x))

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
    assert found.mirrored is False
    assert found.images == {"train": 1008, "validation": 250, "test": 539}
    assert "'space.prune.method=[none,l1_unstructured]'" not in found.command
    assert "--set 'space.prune.method=[none]'" in found.command
    assert "--set 'space.distill.method=[none,base,dkd]'" in found.command
    assert found.trial["seconds"] > found.trial["fine_tuning"] > 0
    assert 0 <= found.host["latency_accepted_share"] <= 1 and found.host["cores"] >= 1
    assert json.loads(json.dumps(found.to_dict()))["classes"] == 10


def test_the_command_has_what_the_search_was_asked_for_with(flat: Path) -> None:
    """A function that returns a trained network says baseline.epochs=0: nothing trains over it."""
    settings = {
        "model": f"{flat}:Flat",
        "baseline": {"epochs": 0},
        "space": {"prune": {"method": "l1"}, "distill": {"method": ["none", "dkd"]}},
    }
    assignments = ["baseline.epochs=0", "space.prune.method=l1", "space.distill.method=[none,dkd]"]
    config = make_config(settings, preset="demo")
    words = shlex.split(check_up(config, preset="demo", assignments=assignments).command)
    assert words[:4] == ["slimtune", "search", "--preset", "demo"]
    sets = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    # Channels cannot be pruned; what works and was not asked for is not put in.
    assert sets == [*assignments, "space.prune.method=[none]", "space.quantize.method=[none]"]


def test_a_network_without_a_file_is_of_no_use(flat: Path) -> None:
    with pytest.raises(ModelError, match="Odd cannot be exported: .*ONNX"):
        check_up(make_config({"model": f"{flat}:Odd", "data": "digits"}))


@pytest.mark.parametrize("epochs", [0, 1])
def test_only_what_does_not_work_untrained_is_tried_again_with_settled_norms(
    flat: Path, epochs: int
) -> None:
    config = {"model": f"{flat}:Normed", "data": "digits", "baseline": {"epochs": epochs}}
    told: list[str] = []
    check_up(make_config(config), told.append)
    assert ("prune channels, again" in told) == bool(epochs)
    assert "distill logits" in told and "distill logits, again" not in told


def test_a_checkup_is_one_line_and_a_table_without_markup_of_its_own() -> None:
    found = Checkup(
        model="resnet8",
        data="digits",
        image_shape=(1, 8, 8),
        classes=10,
        images={},
        mirrored=False,
        notes=(),
        baseline={},
        findings=[
            Finding("export", "ONNX file", True, "12 KiB"),
            Finding("prune", "channels", False, "a <b>bold</b> reason"),
        ],
        trial={"seconds": 3.21},
        host={},
        command="slimtune search --model resnet8",
    )
    assert repr(found) == (
        "<Checkup resnet8 on digits: 1 of 2 techniques work (not: prune channels); a trial about "
        "3.2 s; next: slimtune search --model resnet8>"
    )
    shown = found._repr_html_()
    assert (
        "&lt;b&gt;bold" in shown and "<b>" not in shown and "<td>channels</td><td>no</td>" in shown
    )
