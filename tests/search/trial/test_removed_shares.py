import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slimtune.compression.pipeline import Compressed
from slimtune.compression.recipe import Recipe
from slimtune.measurement.cost import Cost
from slimtune.search.trial.removed_shares import pipeline_words, removed_shares
from slimtune.search.trial.students import build_student
from slimtune.workload.own_code import allow_all_code
from slimtune.workload.types import Workload
from slimtune.workload.zoo.build import build


def made(workload: Workload, name: str = "") -> Compressed:
    architecture = dataclasses.replace(workload.architecture, **({"name": name} if name else {}))
    return cast(Compressed, SimpleNamespace(architecture=architecture))


def cost(params: int, macs: int) -> Cost:
    return Cost(params=params, nonzero=params, sparsity=0, macs=macs, bops=0, packed_bytes=0)


PRUNED = Recipe.from_dict({"prune": {"method": "fpgm", "amount": 0.3}})


def test_shares_are_of_the_student_before_it_was_pruned(digits: Workload) -> None:
    whole = sum(p.numel() for p in digits.baseline.parameters())
    found = removed_shares(digits, PRUNED, made(digits), cost(whole // 4, 0))
    assert found["params_removed"] == pytest.approx(0.75, abs=0.01)
    assert found["macs_removed"] == 1
    smaller = Recipe.from_dict({"prune": "l1", "student": {"model": "resnet8"}})
    student = build(made(digits, "resnet8").architecture)
    own = sum(p.numel() for p in student.parameters())
    found = removed_shares(digits, smaller, made(digits, "resnet8"), cost(own // 2, 0))
    assert found["params_removed"] == pytest.approx(0.5, abs=0.01)


def test_weights_that_a_student_computes_count_as_what_they_fold_to(
    digits: Workload, own_net: Path
) -> None:
    code = "from torch.nn.utils.parametrizations import weight_norm\n" + own_net.read_text()
    own_net.write_text(code.replace("nn.Conv2d(16, 32, 1)", "weight_norm(nn.Conv2d(16, 32, 1))"))
    allow_all_code()
    name = f"{own_net}:make"
    student = build_student(made(digits, name).architecture, None)
    params = sum(p.numel() for p in student.parameters())
    recipe = Recipe.from_dict({"prune": "l1", "student": {"model": name}})
    found = removed_shares(digits, recipe, made(digits, name), cost(params, 0))
    assert found["params_removed"] == 0


@pytest.mark.parametrize(
    "mapping", [{}, {"prune": {"method": "l1", "amount": 0}}, {"prune": "l1_unstructured"}]
)
def test_without_channels_to_remove_there_is_nothing_to_tell(
    digits: Workload, mapping: dict[str, Any]
) -> None:
    assert removed_shares(digits, Recipe.from_dict(mapping), made(digits), cost(1, 1)) == {}


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"macs_removed": 0.414}, "fpgm 30% (-41% MACs)"),
        ({"macs_removed": 0.0}, "fpgm 30% (nothing removed)"),
        ({"macs_removed": 0.004}, "fpgm 30% (-0.4% MACs)"),
        ({"macs_removed": 0.4, "structure_certain": True}, "fpgm 30% (-40% MACs)"),
        ({"macs_removed": 0.4, "structure_certain": False}, "fpgm 30%"),  # may end otherwise
        ({}, "fpgm 30%"),
    ],
)
def test_the_pipeline_tells_what_went_beside_what_was_asked(
    measured: dict[str, Any], words: str
) -> None:
    assert pipeline_words(PRUNED, measured) == words


def test_by_the_epoch_both_are_told() -> None:
    recipe = Recipe.from_dict({"prune": {"method": "l1", "schedule": "per_epoch"}})
    assert recipe.describe(0.25) == "l1 14% (5% an epoch, -25% MACs)"
