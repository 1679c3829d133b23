import pytest

from slimtune.search.proposing.plan import ProposalPlan


def nothing(_trial):
    return {}


@pytest.mark.parametrize(
    ("sampler", "flat"),
    [("tpe", False), ("random", False), ("grid", False), ("nsga2", True), ("qmc", True)],
)
def test_samplers_without_conditions_need_a_flat_space(sampler: str, flat: bool) -> None:
    assert ProposalPlan(nothing, 3, sampler=sampler).is_flat is flat


def test_a_plan_goes_on_to_its_last_trial_unless_it_is_told_when_it_is_enough() -> None:
    assert ProposalPlan(nothing, 3).why_stop([]) == ""
