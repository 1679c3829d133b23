import dataclasses

import pytest

from slimtune.conditions import Conditions


def test_trials_share_the_prefix_seed_or_else_their_own() -> None:
    assert Conditions(seed=1, prefix_seed=5).shared_seed == 5
    assert Conditions(seed=1, prefix_seed=0).shared_seed == 0
    assert Conditions(seed=1).shared_seed == 1


def test_conditions_are_one_value_that_nobody_changes() -> None:
    given = Conditions(seed=1, device="cuda:0")
    assert given == Conditions(seed=1, device="cuda:0") and len({given, given}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.seed = 2  # type: ignore[misc]
