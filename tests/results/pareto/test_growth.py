import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.results.objectives import Objective, parse_objectives
from slimtune.results.pareto.front import hypervolume
from slimtune.results.pareto.growth import box_volume, hypervolumes

KNOWN = parse_objectives(["accuracy", "size_bytes"])
REFERENCE = {"accuracy": 0.0, "size_bytes": 100.0}


def test_the_box_reaches_from_the_reference_to_what_is_best_imaginable():
    assert box_volume(KNOWN, REFERENCE) == 100.0
    endless = Objective("score", "maximize", "", "score")
    assert box_volume([endless, KNOWN[1]], {"score": 0.0, "size_bytes": 100.0}) is None


def test_shares_by_hand():
    # 0.5 * 50 of 100, then 0.5 * 50 + 0.4 * 25 more below it; the last two add nothing.
    values = np.array([[0.5, 50.0], [0.4, 25.0], [0.3, 60.0], [np.nan, 1.0]])
    assert hypervolumes(values, KNOWN, REFERENCE) == pytest.approx([0.25, 0.35, 0.35, 0.35])


def test_no_trials_have_won_nothing():
    assert hypervolumes(np.empty((0, 2)), KNOWN, REFERENCE) == []


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(1, 120)), min_size=1, max_size=12),
)
def test_it_never_falls_and_ends_at_the_hypervolume_of_all(points):
    values = np.array(points)
    found = hypervolumes(values, KNOWN, REFERENCE)
    assert all(later >= earlier for earlier, later in zip(found, found[1:], strict=False))
    whole = hypervolume(values, [0.0, 100.0], ["maximize", "minimize"])
    assert found[-1] == pytest.approx(whole / 100.0)
