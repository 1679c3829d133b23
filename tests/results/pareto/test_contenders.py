import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimtune.conditions import Conditions
from slimtune.results.objectives import parse_objectives
from slimtune.results.pareto.contenders import NOISE, UNSTABLE_NOISE, contenders, front_candidates
from slimtune.results.pareto.front import non_dominated
from slimtune.results.store.joint import JointRow
from slimtune.results.store.record import TrialRecord

NAMES = ["accuracy", "size_bytes", "latency_ms"]
OBJECTIVES = parse_objectives(NAMES)


def trial(number, values, stable=True, status="complete", **metrics):
    return TrialRecord(
        number=number,
        status=status,
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives=dict(zip(NAMES, values, strict=True)),
        metrics={"latency_stable": stable, **metrics},
    )


def numbers(records, limits=None, objectives=OBJECTIVES):
    return [record.number for record in contenders(records, objectives, limits or {})]


def test_what_another_dominates_by_more_than_the_noise_is_left_out() -> None:
    best = trial(0, (0.9, 100, 1.0))
    slower = trial(1, (0.9, 100, 1.05 * NOISE))
    assert numbers([best, slower]) == [0]
    assert numbers([best, trial(1, (0.9, 100, 0.95 * NOISE))]) == [0, 1]


def test_an_unstable_latency_may_be_much_too_slow() -> None:
    best = trial(0, (0.9, 100, 1.0))
    assert numbers([best, trial(1, (0.9, 100, 0.95 * UNSTABLE_NOISE), stable=False)]) == [0, 1]
    assert numbers([best, trial(1, (0.9, 100, 1.05 * UNSTABLE_NOISE), stable=False)]) == [0]


def test_what_is_less_accurate_and_no_smaller_is_left_out_only_if_its_latency_is_known() -> None:
    best = trial(0, (0.9, 100, 1.0))
    assert numbers([best, trial(1, (0.8, 100, 1.5))]) == [0]
    assert numbers([best, trial(1, (0.8, 100, 1.5), stable=False)]) == [0, 1]


def test_a_limit_that_noise_may_have_broken_leaves_nobody_out() -> None:
    one = [trial(0, (0.9, 100, 1.1))]
    assert numbers(one, {"latency_ms": 1.0}) == [0]
    assert numbers(one, {"latency_ms": 0.9}) == []
    assert numbers([trial(0, (0.9, 100, 3.0), stable=False)], {"latency_ms": 1.0}) == [0]
    assert numbers(one, {"size_bytes": 99}) == []


def test_only_complete_trials_are_contenders() -> None:
    assert numbers([trial(0, (0.9, 100, 1.0), status="stopped")]) == []
    assert numbers([]) == []


def test_a_latency_that_is_no_objective_can_be_limited() -> None:
    objectives = parse_objectives(["accuracy", "size_bytes"])
    record = trial(0, (0.9, 100, 1.0))
    record.objectives.pop("latency_ms")
    record.metrics.update(latency_ms=2.0, latency_stable=False)
    assert numbers([record], {"latency_ms": 1.0}, objectives) == [0]
    assert numbers([record], {"latency_ms": 0.4}, objectives) == []


POINTS = st.lists(
    st.tuples(
        st.sampled_from([0.7, 0.8, 0.9]),
        st.sampled_from([50, 100]),
        st.floats(0.5, 2.0),
        st.booleans(),
        st.floats(0.0, 1.0),
    ),
    min_size=1,
    max_size=12,
)


@given(POINTS)
def test_whoever_is_on_the_true_front_is_a_contender(points) -> None:
    """Measured latencies are too slow by up to the noise; the true ones are drawn below them."""
    records, true = [], []
    for number, (accuracy, size, ms, stable, luck) in enumerate(points):
        noise = NOISE if stable else UNSTABLE_NOISE
        records.append(trial(number, (accuracy, size, ms * noise**luck), stable))
        true.append((accuracy, size, ms))
    front = non_dominated(np.array(true), [known.direction for known in OBJECTIVES])
    assert {*np.flatnonzero(front)} <= {*numbers(records)}


def test_a_measurement_that_misses_a_candidate_ranks_nobody() -> None:
    first, second, third = (trial(n, (0.9, 100, 1.0)) for n in range(3))
    rows = [JointRow(trial=None, latency_ms=1.0), JointRow(trial=0, latency_ms=1.0)]
    assert front_candidates([first, second], lambda: [first, second], rows) == [first, second]
    assert front_candidates([first], lambda: [first, second], rows) == [first]
    rows.append(JointRow(trial=1, latency_ms=1.0))
    assert front_candidates([first], lambda: [first, second, third], rows) == [first, second]
    rows[-1] = JointRow(trial=1)  # its file was deleted
    assert front_candidates([first, second], lambda: [first, second], rows) == [first, second]
