from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.stages import Student
from slimtune.errors import ModelError
from slimtune.search.forecast import training_precision as module
from slimtune.search.forecast.training_precision import training_precision
from slimtune.search.settings.config import SearchConfig
from slimtune.workload.types import Workload


class Bilinear(nn.Module):
    """torch 2.15 has no kernel for a bfloat16 input beside float32 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3, 2), nn.Bilinear(8, 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.conv(x).relu().mean((2, 3))
        return self.head(pooled, pooled)


@pytest.fixture(autouse=True)
def gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide as on a machine with instructions for bfloat16 and on images large enough."""
    monkeypatch.setattr(
        module, "decide", lambda wanted, *_: "bfloat16" if wanted == "auto" else wanted
    )


def asking(config: SearchConfig, **per_trial: Any) -> SearchConfig:
    return config.model_copy(update={"per_trial": config.per_trial.model_copy(update=per_trial)})


def test_a_network_that_can_trains_in_bfloat16(
    digits: Workload, digits_config: SearchConfig
) -> None:
    before = {name: value.clone() for name, value in digits.baseline.state_dict().items()}
    state = torch.get_rng_state()
    found = training_precision(digits_config, digits, [Student(), Student(model="resnet8")])
    assert (found.precision, found.note) == ("bfloat16", "")
    after = digits.baseline.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(state, torch.get_rng_state()) and not digits.baseline.training


@pytest.mark.parametrize("part", ["baseline", "teacher"])
def test_a_network_that_cannot_trains_in_float32_and_this_is_said(
    digits: Workload, digits_config: SearchConfig, part: str
) -> None:
    workload = replace(digits, **{part: Bilinear()})
    found = training_precision(digits_config, workload)
    assert found.precision == "float32"
    name = "the teacher" if part == "teacher" else digits.architecture.name
    assert found.note.startswith(f"trials train in float32, because {name} cannot train in bfloat")
    assert "\n" not in found.note


def test_bfloat16_that_is_asked_for_is_refused_where_it_fails(
    digits: Workload, digits_config: SearchConfig
) -> None:
    config = asking(digits_config, precision="bfloat16")
    assert training_precision(config, digits).precision == "bfloat16"
    with pytest.raises(ModelError, match=r"per_trial.precision: .* cannot train in bfloat16"):
        training_precision(config, replace(digits, baseline=Bilinear()))
    config = asking(digits_config, precision="float32")
    assert training_precision(config, replace(digits, baseline=Bilinear())).precision == "float32"
