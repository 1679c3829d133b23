import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.indicators.hv import HV

from slimtune.results.pareto.front import adds_volume, dominators, hypervolume, non_dominated

DIRECTIONS = ("minimize", "maximize")


@st.composite
def clouds(draw, nan=True, most=9):
    """Points on a coarse grid, so that ties and duplicates are common, and their directions."""
    m = draw(st.integers(1, 4))
    cell = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.5] + ([math.nan, math.inf] if nan else []))
    rows = draw(st.lists(st.lists(cell, min_size=m, max_size=m), max_size=most))
    directions = draw(st.lists(st.sampled_from(DIRECTIONS), min_size=m, max_size=m))
    return np.array(rows, dtype=float).reshape(len(rows), m), directions


def dominates(a, b, directions):
    """Dominance as the textbooks write it, one pair at a time."""
    better = [
        x < y if d == "minimize" else x > y for x, y, d in zip(a, b, directions, strict=True)
    ]
    as_good = [
        x <= y if d == "minimize" else x >= y for x, y, d in zip(a, b, directions, strict=True)
    ]
    return all(as_good) and any(better)


def corner_of(directions, low=-1.0, high=5.0):
    return [high if d == "minimize" else low for d in directions]


@given(clouds())
def test_the_front_is_what_pairwise_comparison_says(cloud):
    values, directions = cloud
    expected = [
        not np.isnan(p).any() and not any(dominates(q, p, directions) for q in values)
        for p in values
    ]
    assert non_dominated(values, directions).tolist() == expected


@given(clouds(), st.randoms(use_true_random=False))
def test_the_order_of_the_points_changes_nothing(cloud, random):
    values, directions = cloud
    order = random.sample(range(len(values)), len(values))
    mask = non_dominated(values, directions)
    assert non_dominated(values[order], directions).tolist() == mask[order].tolist()
    corner = corner_of(directions)
    volume = hypervolume(values, corner, directions)
    assert hypervolume(values[order], corner, directions) == pytest.approx(volume)


def test_duplicates_are_kept_together_and_nan_is_never_on_the_front():
    values = np.array([[1, 2], [1, 2], [math.nan, 0], [2, 1], [2, 2]])
    mask = non_dominated(values, ["minimize", "minimize"])
    assert mask.tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_hypervolume_agrees_with_pymoo_on_random_points(m):
    rng = np.random.default_rng(m)
    for n in (1, 5, 20):
        values = rng.random((n, m)) * 1.2
        expected = HV(ref_point=np.ones(m))(values)
        assert hypervolume(values, np.ones(m), ["minimize"] * m) == pytest.approx(expected)


@settings(max_examples=60)
@given(clouds(nan=False, most=6))
def test_hypervolume_is_the_inclusion_and_exclusion_of_boxes(cloud):
    values, directions = cloud
    corner = np.array(corner_of(directions))
    # The box of a set of points is bounded, in every objective, by the worst of them.
    expected = 0.0
    for size in range(1, len(values) + 1):
        for chosen in itertools.combinations(np.abs(values - corner), size):
            expected -= (-1) ** size * np.prod(np.min(chosen, axis=0))
    assert hypervolume(values, corner, directions) == pytest.approx(expected)


@given(clouds())
def test_hypervolume_never_falls_when_a_point_is_added(cloud):
    values, directions = cloud
    corner = corner_of(directions, low=0.5, high=4.0)
    volumes = [hypervolume(values[:n], corner, directions) for n in range(len(values) + 1)]
    assert volumes[0] == 0
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(volumes))


def test_hypervolume_keeps_natural_units_and_directions():
    values = np.array([[0.9, 100.0], [0.5, 50.0]])  # accuracy, bytes
    volume = hypervolume(values, [0.0, 200.0], ["maximize", "minimize"])
    assert volume == pytest.approx(0.9 * 100 + 0.5 * 50)


@pytest.mark.parametrize("point", [[0.0, 10.0], [0.9, 200.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_a_point_that_is_not_better_than_the_reference_or_not_finite_adds_nothing(point):
    assert hypervolume(np.array([point]), [0.0, 200.0], ["maximize", "minimize"]) == 0


def test_shapes_that_do_not_fit_and_unknown_directions_are_refused():
    with pytest.raises(ValueError, match="values are"):
        non_dominated(np.zeros((3, 3)), ["minimize", "minimize"])
    with pytest.raises(ValueError, match="directions"):
        non_dominated(np.zeros((3, 2)), ["min", "max"])
    with pytest.raises(ValueError, match="finite"):
        hypervolume(np.zeros((3, 2)), [1.0, math.inf], ["minimize", "minimize"])


@given(clouds(nan=False))
def test_points_gain_exactly_when_the_hypervolume_with_them_is_larger(cloud):
    values, directions = cloud
    reference = [4.0 if direction == "minimize" else 0.5 for direction in directions]
    half = len(values) // 2
    before, after = values[:half], values[half:]
    grown = hypervolume(values, reference, directions) - hypervolume(before, reference, directions)
    assert adds_volume(after, before, reference, directions) == (grown > 1e-9)


def test_dominators_are_counted_by_hand_and_doubt_counts_for_the_dominated():
    values = np.array([[0.9, 1.0], [0.8, 2.0], [0.7, 3.0], [0.7, 0.5]])
    directions = ["maximize", "minimize"]
    assert dominators(values, directions).tolist() == [0, 1, 3, 0]
    at_worst = values - [[0.15, 0], [0, 0], [0, 0], [0, 0]]
    assert dominators(values, directions, at_worst).tolist() == [0, 0, 3, 0]
    assert (dominators(values, directions) == 0).tolist() == [*non_dominated(values, directions)]
