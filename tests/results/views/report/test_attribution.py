import math

import pytest

from slimtune.conditions import Conditions
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.views.report.attribution import attributions
from tests.results.views.report.conftest import recipe, record

KNOWN = [OBJECTIVES["accuracy"], OBJECTIVES["size_bytes"]]


def trial(number, accuracy, size, **words):
    seed = words.pop("seed", number)
    values = {"accuracy": accuracy, "size_bytes": size}
    return record(number, recipe=recipe(**words), objectives=values, conditions=Conditions(seed))


def by_name(records):
    return {(one.stage, one.method): one for one in attributions(records, KNOWN)}


def test_a_grid_pairs_each_recipe_with_itself_without_the_technique():
    records = [
        trial(0, 0.90, 1000.0, prune="l1", amount=0.3),
        trial(1, 0.80, 800.0, prune="l1", amount=0.6),
        trial(2, 0.88, 250.0, prune="l1", amount=0.3, quantize="gpfq"),
        trial(3, 0.76, 200.0, prune="l1", amount=0.6, quantize="gpfq"),
    ]
    gpfq = by_name(records)["quantize", "gpfq"]
    assert (gpfq.pairs, gpfq.trials) == (2, 2)
    # By hand: changes of -0.02 and -0.04: mean -0.03, standard error 0.01; a fourth is left.
    accuracy, size = gpfq.effects["accuracy"], gpfq.effects["size_bytes"]
    assert (accuracy.change, accuracy.low, accuracy.high) == pytest.approx((-0.03, -0.04, -0.02))
    assert not accuracy.ratio
    assert (size.change, size.low, size.high, size.ratio) == (
        pytest.approx(0.25), pytest.approx(0.25), pytest.approx(0.25), True,
    )  # fmt: skip


def test_repeats_are_paired_by_their_seed():
    records = [trial(n, 0.9 - 0.1 * n, 1000.0, seed=n) for n in (0, 1)]
    records += [trial(n, 0.95 - 0.1 * n, 500.0, seed=n - 2, quantize="gpfq") for n in (2, 3)]
    accuracy = by_name(records)["quantize", "gpfq"].effects["accuracy"]
    assert accuracy.change == pytest.approx(-0.15)
    assert accuracy.high - accuracy.low == pytest.approx(0.0, abs=1e-12)


def test_a_trial_with_other_methods_or_a_far_amount_is_not_alike():
    records = [
        trial(0, 0.9, 1000.0, prune="l1", amount=0.2),
        trial(1, 0.9, 1000.0),
        trial(2, 0.8, 250.0, prune="l1", amount=0.5, quantize="gpfq"),
    ]
    gpfq = by_name(records)["quantize", "gpfq"]
    assert (gpfq.trials, gpfq.pairs, gpfq.effects) == (1, 0, {})


def test_the_nearest_of_several_alike_trials_counts():
    records = [
        trial(0, 0.5, 1000.0, prune="fpgm", amount=0.4),
        trial(1, 0.9, 1000.0, prune="l1", amount=0.45),
        trial(2, 0.8, 1000.0, prune="l1", amount=0.35),
        trial(3, 0.8, 250.0, prune="l1", amount=0.44, quantize="gpfq"),
    ]
    accuracy = by_name(records)["quantize", "gpfq"].effects["accuracy"]
    assert accuracy.change == pytest.approx(-0.1)
    assert math.isnan(accuracy.low)  # one pair has no spread


def test_pruning_is_compared_at_every_amount_with_what_is_not_pruned():
    records = [
        trial(0, 0.9, 1000.0, quantize="gpfq"),
        trial(1, 0.9, 1000.0),
        trial(2, 0.8, 100.0, prune="l1", amount=0.8, quantize="gpfq"),
    ]
    l1 = by_name(records)["prune", "l1"]
    assert l1.pairs == 1
    assert l1.effects["size_bytes"].change == pytest.approx(0.1)


def test_without_any_trial_there_is_nothing_to_tell():
    assert attributions([], KNOWN) == []


def test_a_pair_with_an_unstable_latency_tells_nothing_of_latency():
    latency = OBJECTIVES["latency_ms"]

    def timed(number, ms, stable=True, **words):
        values = {"accuracy": 0.9, "latency_ms": ms}
        metrics = {"latency_stable": stable}
        return record(number, recipe=recipe(**words), objectives=values, metrics=metrics)

    records = [
        timed(0, 1.0, prune="l1", amount=0.3),
        timed(1, 1.0, prune="l1", amount=0.6),
        timed(2, 0.5, prune="l1", amount=0.3, quantize="gpfq"),
        timed(3, 2.0, stable=False, prune="l1", amount=0.6, quantize="gpfq"),
    ]
    known = [OBJECTIVES["accuracy"], latency]
    [gpfq] = [one for one in attributions(records, known) if one.method == "gpfq"]
    assert gpfq.pairs == 2 and gpfq.effects["latency_ms"].change == pytest.approx(0.5)
    records[2] = timed(2, 0.5, stable=False, prune="l1", amount=0.3, quantize="gpfq")
    [gpfq] = [one for one in attributions(records, known) if one.method == "gpfq"]
    assert "latency_ms" not in gpfq.effects and "accuracy" in gpfq.effects


def test_a_stage_that_every_trial_had_is_not_told_of():
    records = [record(n, recipe=recipe("l1", 0.5, "gpfq" if n % 2 else "none")) for n in range(6)]
    assert {one.stage for one in attributions(records, [OBJECTIVES["accuracy"]])} == {"quantize"}
