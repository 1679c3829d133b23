import typing

import pytest
from pydantic import ValidationError

from slimtune.compression.pruning import L1
from slimtune.compression.stages import Prune, Student, Train


@pytest.mark.parametrize("stage", [Prune, Student, Train])
def test_every_setting_is_described_and_every_number_has_a_range(stage: type) -> None:
    for name, hint in typing.get_type_hints(stage, include_extras=True).items():
        kind, info = typing.get_args(hint)[:2]
        assert info.description, name
        if kind in (int, float):
            bounds = {type(m).__name__ for m in info.metadata}
            assert bounds & {"Ge", "Gt"} and bounds & {"Le", "Lt"}, name


def test_the_defaults_prune_half_at_once_and_train_three_epochs_of_sgd() -> None:
    prune, train = Prune(method=L1()), Train()
    assert (prune.amount, prune.scope, prune.schedule) == (0.5, "local", "one_shot")
    assert (train.epochs, train.optimizer, train.schedule, train.mixup) == (3, "sgd", "cosine", 0)
    assert Student().model == "baseline"


@pytest.mark.parametrize(
    ("stage", "values"),
    [
        (Train, {"mixup": -1}),
        (Train, {"dropout": 1.0}),
        (Train, {"decay": 0}),
        (Train, {"optimizer": "lion"}),
        (Train, {"schedule": "linear"}),
        (Prune, {"method": L1(), "steps": 1}),
        (Prune, {"method": L1(), "schedule": "slow"}),
        (Student, {"model": ""}),
    ],
)
def test_values_outside_their_range_are_refused(stage: type, values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        stage(**values)
