from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, nn

from slimtune.errors import ConfigError, ModelError, UnknownNameError, UserError
from slimtune.search.forecast.checks import check_space
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Workload
from slimtune.workload.zoo.build import build


def config(**space: Any) -> SearchConfig:
    return make_config({"model": "resnet8", "data": "digits", "space": space})


def test_the_default_space_fits_a_resnet(digits: Workload) -> None:
    check_space(config(), digits)


def test_every_method_of_the_registries_fits_a_resnet(digits: Workload) -> None:
    every = {stage: {"method": "all"} for stage in ("prune", "quantize", "distill")}
    every["prune"] |= {
        "scope": ["local", "stage", "global"],
        "schedule": ["one_shot", "incremental", "soft", "per_epoch"],
    }
    check_space(config(**every, order=["ppq", "spq"]), digits)


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        ({"student": {"model": "resnet9"}}, UnknownNameError, "space.student.model: .*resnet9"),
        (
            {"student": {"model": "resnet8", "weights": "nowhere.th"}},
            ModelError,
            "space.student.model: .*nowhere.th",
        ),
        (
            {"train": {"epochs": 0}, "prune": {"schedule": "soft"}, "distill": {"method": "none"}},
            ConfigError,
            "space.train.epochs: must be at least 1 to prune during training",
        ),
    ],
)
def test_what_no_trial_can_do_is_refused_before_the_first(
    digits: Workload, space: Any, error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        check_space(config(**space), digits)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_no_students(
    digits: Workload, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("w") / "resnet8.safetensors"
    save_weights(digits.baseline, file)
    space = {"student": {"model": "resnet20", "weights": str(file)}}
    with pytest.raises(ModelError, match="space.student.model: .*resnet8.safetensors"):
        check_space(config(**space), digits)


def test_a_network_that_cannot_be_pruned_or_matched_is_refused(digits: Workload) -> None:
    flat = replace(digits, baseline=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(ModelError, match="pruning test failed for 'resnet8'.*prune.method=none"):
        check_space(config(distill={"method": "none"}), flat)
    space = {"prune": {"method": "none"}, "distill": {"method": ["none", "fmse"]}}
    with pytest.raises(ModelError, match="distillation fmse of 'resnet8'"):
        check_space(config(**space), flat)


def test_a_network_that_cannot_be_traced_is_not_asked_to_be_where_no_channel_goes(
    digits: Workload,
) -> None:
    class Untraceable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = build(digits.architecture)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).detach()

    odd = replace(digits, baseline=Untraceable().eval())
    for method in ("none", "l1_unstructured"):
        check_space(config(prune={"method": method}, distill={"method": "none"}), odd)
    with pytest.raises(ModelError, match="one differentiable tensor"):
        check_space(config(prune={"method": "l1"}, distill={"method": "none"}), odd)
