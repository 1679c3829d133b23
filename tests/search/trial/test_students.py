import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slimtune.compression.pruning.stage import surgery
from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.errors import UnknownNameError
from slimtune.search.forecast.checks import check_recipe, check_space, learn_groups
from slimtune.search.proposing.twins import Twins
from slimtune.search.settings.config import make_config
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.students import build_student, student_builder
from slimtune.search.trial.trial import run_trial
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture, Workload

RECIPE = {"student": {"model": "resnet8x2"}, "prune": "l1", "train": {"epochs": 0}}
SPACE = {
    "student": {"model": ["baseline", "resnet8x2"]},
    "prune": {"method": ["l1", "fpgm"]},
    "quantize": {"method": "none"},
    "distill": {"method": "none"},
}
CONFIG = make_config({"model": "resnet8", "data": "digits", "space": SPACE})


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each network whose groups are tried by cutting copies of it."""
    counted: list[None] = []
    usual = surgery._unsound

    def count(*args, **kwargs):
        counted.append(None)
        return usual(*args, **kwargs)

    monkeypatch.setattr(surgery, "_unsound", count)
    return counted


@pytest.fixture
def fresh(digits: Workload) -> Workload:
    """The workload, with nothing known of any network's groups."""
    baseline = pickle.loads(pickle.dumps(digits.baseline))
    baseline.__dict__.pop("_cannot_be_cut", None)
    return replace(digits, baseline=baseline, unprunable_groups={})


def trial(workload: Workload, number: int) -> Outcome:
    outcome = run_trial(workload, TrialSpec(number, RECIPE, Conditions(seed=number)))
    assert outcome.status == "complete", outcome.reason
    return outcome


@pytest.mark.parametrize("learn", [check_space, learn_groups])
def test_groups_of_each_student_are_found_once_for_all_trials_in_any_process(
    fresh: Workload, cuts: list[None], learn
) -> None:
    learn(CONFIG, fresh)
    assert len(cuts) == 2  # the baseline, the student
    Twins(fresh).key(RECIPE)
    shipped = pickle.loads(pickle.dumps(fresh))  # as Ray hands it to its workers
    for number in range(2):
        trial(shipped, number)
    assert len(cuts) == 2


def test_a_trial_makes_the_same_file_whether_groups_were_found_before_it_or_not(
    fresh: Workload, cuts: list[None]
) -> None:
    alone = trial(fresh, 0)
    assert len(cuts) == 1 and not fresh.unprunable_groups
    learn_groups(CONFIG, fresh)
    assert trial(fresh, 0).files["model.onnx"] == alone.files["model.onnx"]


def test_what_was_found_is_kept_by_model_and_weights(
    fresh: Workload, cuts: list[None], tmp_path: Path
) -> None:
    file = tmp_path / "resnet8.safetensors"
    save_weights(fresh.baseline, file)
    for weights in (None, str(file)):
        student = {"model": "resnet8", "weights": weights}
        check_recipe(Recipe.from_dict({**RECIPE, "student": student}), fresh)
    assert set(fresh.unprunable_groups) == {("resnet8", None), ("resnet8", str(file))}
    network = student_builder(fresh)(fresh.architecture, str(file))
    surgery.find_groups(network.eval(), torch.randn(2, *fresh.image_shape))
    assert len(cuts) == 2
    assert torch.equal(network.state_dict()["conv1.weight"], fresh.baseline.conv1.weight)


def test_a_student_that_no_zoo_has_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="resnet9"):
        build_student(Architecture("resnet9", 10, 1), None)
