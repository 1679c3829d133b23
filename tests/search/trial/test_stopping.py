from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from slimtune.conditions import Conditions
from slimtune.results.objectives import parse_objectives
from slimtune.results.pareto.front import non_dominated
from slimtune.results.store.record import TrialRecord
from slimtune.search.trial.lookout import AT_LEAST, STRUCTURE
from slimtune.search.trial.spec import Outcome
from slimtune.search.trial.stopping import PEERS, StoppingRule, ceiling_of

NAMES = ["accuracy", "size_bytes", "latency_ms"]
OBJECTIVES = parse_objectives(NAMES)
DIRECTIONS = [known.direction for known in OBJECTIVES]
CERTAIN = {"structure_certain": True, "latency_stable": True}


def rule(limits=None, ceiling=0.95, images=10**12):
    """Return a rule; with that many images no accuracy is in doubt."""
    return StoppingRule(OBJECTIVES, limits or {}, ceiling=ceiling, images=images)


def record(number, values, status="stopped", rungs=None, metrics=CERTAIN):
    objectives = dict(zip(NAMES, values, strict=False))
    return TrialRecord(
        number=number,
        status=status,
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        objectives=objectives,
        metrics=dict(metrics),
        rungs=rungs or {},
    )


def at(rung, number, values, at_least=None, metrics=CERTAIN):
    """Return a trial as it stands at a rung."""
    shown = dict(zip(NAMES, values, strict=False))
    shown |= {} if at_least is None else {AT_LEAST: at_least}
    payload = record(number, values, rungs={rung: shown}, metrics=metrics)
    return Outcome(number, "stopped", payload.objectives, payload, rung=rung)


def complete(number, values, **more):
    return record(number, values, status="complete", **more)


# Five trials at one rung, as (accuracy, size, latency): 4 is dominated by all but 3, 3 by 0 alone.
PEERS_SHOWN = [(0.9, 100, 1.0), (0.8, 50, 1.0), (0.7, 50, 0.5), (0.85, 110, 1.0)]


def with_peers(rule, rung="fine-tune 2/4"):
    for number, values in enumerate(PEERS_SHOWN):
        assert rule(at(rung, number, values)) == ""
    return rule


def test_a_trial_in_the_worse_half_of_its_peers_is_stopped_with_the_counts() -> None:
    why = with_peers(rule())(at("fine-tune 2/4", 4, (0.65, 105, 1.0)))
    assert why == "after epoch 2 of 4 (fine-tune): 4 of 4 comparable trials were better"


def test_nobody_is_stopped_for_a_latency_that_may_be_too_high() -> None:
    unstable = {**CERTAIN, "latency_stable": False}
    behind = (0.75, 120, 1.2)
    assert with_peers(rule())(at("fine-tune 2/4", 4, behind))
    assert with_peers(rule())(at("fine-tune 2/4", 4, behind, metrics=unstable)) == ""


def test_a_trial_that_is_dominated_no_more_than_most_goes_on() -> None:
    judge = with_peers(rule())
    judge(at("fine-tune 2/4", 4, (0.65, 105, 1.0)))
    judge(at("fine-tune 2/4", 5, (0.65, 105, 1.1)))
    assert judge(at("fine-tune 2/4", 6, (0.89, 101, 1.0))) == ""  # by 0; so are 3, 4 and 5


def test_the_least_accurate_trial_goes_on_if_none_dominates_it() -> None:
    judge = with_peers(rule())
    assert judge(at("fine-tune 2/4", 4, (0.1, 49, 1.0))) == ""


def test_a_lead_that_other_images_could_turn_round_dominates_nobody() -> None:
    """Of 400 images, 0.9 and 0.88 differ by less than a standard error of 0.021; 0.85 by more."""
    for accuracy, stopped in ((0.88, False), (0.85, True)):
        judge = rule(images=400)
        for number in range(4):
            judge(at("fine-tune 1/4", number, (0.9, 100, 1.0)))
        assert bool(judge(at("fine-tune 1/4", 4, (accuracy, 100, 1.0)))) == stopped


def test_nobody_is_behind_among_fewer_than_four_peers() -> None:
    judge = rule()
    for number in range(PEERS):
        assert judge(at("fine-tune 1/4", number, (0.9 - number / 10, 100, 1.0))) == ""
    assert judge(at("fine-tune 1/4", PEERS, (0.1, 100, 1.0)))


def test_trials_are_compared_at_rungs_of_one_name_only() -> None:
    judge = with_peers(rule())
    assert judge(at("fine-tune 2/8", 4, (0.65, 105, 1.0))) == ""
    assert judge(at("soft fine-tune 2/4", 4, (0.65, 105, 1.0))) == ""


def test_nobody_is_behind_before_training() -> None:
    judge = with_peers(rule(), STRUCTURE)
    assert judge(at(STRUCTURE, 4, (0.65, 105, 1.0))) == ""


def test_a_peer_that_is_still_to_be_rounded_dominates_only_by_what_rounding_leaves() -> None:
    judge = rule()
    for number in range(4):
        judge(at("fine-tune", number, (0.9, 100 - number, 1.0), at_least=0.5))
    assert judge(at("fine-tune", 4, (0.6, 101, 1.0))) == ""
    assert judge(at("fine-tune", 5, (0.49, 101, 1.0)))


def test_a_trial_that_comes_again_after_its_worker_died_counts_once() -> None:
    judge = rule()
    for _ in range(PEERS + 1):
        judge(at("fine-tune 1/4", 0, (0.9, 100, 1.0)))
    assert judge(at("fine-tune 1/4", 1, (0.1, 100, 1.0))) == ""


def test_what_a_failed_trial_showed_is_forgotten() -> None:
    judge = with_peers(rule())
    judge.learn(replace(record(0, PEERS_SHOWN[0], status="failed"), error="no"))
    assert judge(at("fine-tune 2/4", 4, (0.65, 105, 1.0))) == ""


def test_a_rule_made_again_from_the_records_decides_as_the_one_that_saw_them() -> None:
    rungs = {"fine-tune 2/4": lambda n: dict(zip(NAMES, PEERS_SHOWN[n], strict=True))}
    again = rule()
    for number, values in enumerate(PEERS_SHOWN):
        shown = {name: make(number) for name, make in rungs.items()}
        status = "complete" if number % 2 else "stopped"
        again.learn(record(number, values, status=status, rungs=shown))
    seen = with_peers(rule())
    trial = at("fine-tune 2/4", 4, (0.65, 105, 1.0))
    assert again(trial) == seen(trial) != ""


@pytest.mark.parametrize(
    ("values", "metrics", "stops"),
    [
        ((0.1, 1051, 1.0), CERTAIN, True),  # 5 % beyond the limit of 1000
        ((0.1, 1049, 1.0), CERTAIN, False),
        ((0.1, 900, 2.6), CERTAIN, True),  # 25 % beyond 2 ms
        ((0.1, 900, 2.4), CERTAIN, False),
        ((0.1, 900, 9.0), {**CERTAIN, "latency_stable": False}, False),
        ((0.1, 9000, 9.0), {**CERTAIN, "structure_certain": False}, False),
    ],
)
def test_a_limit_broken_for_sure_ends_a_trial_before_it_is_trained(values, metrics, stops) -> None:
    judge = rule(limits={"size_bytes": 1000, "latency_ms": 2.0, "accuracy": 0.9})
    why = judge(at(STRUCTURE, 0, values, metrics=metrics))
    assert bool(why) == stops
    if stops:
        assert why.startswith("before training: ") and " is over the limit of " in why


def test_a_trial_that_could_not_join_the_front_at_the_ceiling_ends_before_training() -> None:
    judge = rule(ceiling=0.95)
    judge.learn(complete(7, (0.96, 400, 0.5)))
    why = judge(at(STRUCTURE, 8, (0.1, 500, 1.0)))
    assert why == (
        "before training: trial 7 is better even if this one reached an accuracy of 0.95"
    )
    assert judge(at(STRUCTURE, 9, (0.1, 410, 1.0))) == ""  # within the margin of its size
    assert judge(at(STRUCTURE, 10, (0.1, 500, 0.6))) == ""  # within that of its latency
    assert judge(at("fine-tune 1/4", 11, (0.3, 500, 1.0)))


def test_only_complete_trials_that_keep_the_limits_bar_the_way() -> None:
    judge = rule(limits={"latency_ms": 0.4})
    judge.learn(complete(7, (0.96, 400, 0.5)))
    judge.learn(record(8, (0.99, 1, 0.1)))
    assert judge(at(STRUCTURE, 9, (0.1, 500, 0.45))) == ""


def test_the_ceiling_is_the_best_networks_accuracy_and_a_bit_but_never_above_1() -> None:
    baseline = {"objectives": {"accuracy": 0.9}}
    teacher = {"objectives": {"size_bytes": 1}, "metrics": {"accuracy": 0.93}}
    assert ceiling_of([baseline]) == pytest.approx(0.91)
    assert ceiling_of([baseline, teacher]) == pytest.approx(0.94)
    assert ceiling_of([{"objectives": {"accuracy": 0.999}}]) == 1.0


POINT = st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=200)
@given(st.lists(st.tuples(POINT, st.integers(0, 2)), min_size=1, max_size=14))
def test_a_trial_that_none_of_its_peers_dominates_is_never_stopped(points) -> None:
    judge = rule(ceiling=1.0)
    shown = []
    for number, ((accuracy, size, latency), doubt) in enumerate(points):
        values = (accuracy / 4, size, latency)
        shown.append(values)
        free = bool(non_dominated(np.array(shown), DIRECTIONS)[-1])
        why = judge(at("fine-tune", number, values, at_least=max(0, accuracy - doubt) / 4))
        assert not (free and why)


@settings(max_examples=100)
@given(st.lists(POINT, min_size=PEERS + 1, max_size=12))
def test_whoever_is_stopped_has_more_better_placed_peers_than_others(points) -> None:
    judge = rule(ceiling=1.0, images=50)
    shown: list[tuple[float, int, int]] = []
    for number, (quarters, size, latency) in enumerate(points):
        accuracy = quarters / 4
        shown.append((accuracy, size, latency))
        why = judge(at("fine-tune", number, (accuracy, size, latency)))
        over = [sum(surely_dominates(a, b) for a in shown) for b in shown]
        behind = over[-1] > 0 and 2 * sum(n < over[-1] for n in over[:-1]) > number
        assert bool(why) == (behind and number >= PEERS)


def surely_dominates(a: tuple[float, int, int], b: tuple[float, int, int]) -> bool:
    """Return whether it would with an accuracy of one standard error less, on 50 images."""
    accuracy = a[0] - (2 * a[0] * (1 - a[0]) / 50) ** 0.5
    if a[0] == 1.0:  # half of Wilson's 95 % interval of 50 of 50, in standard deviations
        interval = binomtest(50, 50).proportion_ci(method="wilson")
        accuracy = 1.0 - 2**0.5 * (interval.high - interval.low) / (2 * norm.ppf(0.975))
    no_worse = accuracy >= b[0] and a[1] <= b[1] and a[2] <= b[2]
    return no_worse and (accuracy > b[0] or a[1] < b[1] or a[2] < b[2])


@pytest.mark.parametrize(("images", "stops"), [(20, False), (10**6, True)])
def test_peers_with_every_image_right_dominate_only_as_far_as_their_images_go(
    images: int, stops: bool
) -> None:
    judge = rule(ceiling=1.0, images=images)
    for number in range(PEERS):
        assert judge(at("fine-tune 1/2", number, (1.0, 50 + number, 1.0))) == ""
    # 1.0 of 20 images is as good as 0.98 of other 20: one error of the difference is 0.06.
    assert bool(judge(at("fine-tune 1/2", 9, (0.98, 200, 1.0)))) is stops
