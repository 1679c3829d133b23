import numpy as np
import pytest

from slimtune.results.objectives import OBJECTIVES
from slimtune.results.views.report.importance import importances, predicted_r2
from tests.results.views.report.conftest import recipe, record

KNOWN = [OBJECTIVES["accuracy"], OBJECTIVES["size_bytes"]]


def trials(count, size, accuracy=lambda random, _one: random.random()):
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        one = recipe(random.choice(["l1", "fpgm"]), round(random.uniform(0.1, 0.8), 2), "gpfq")
        one["quantize"]["bits"] = int(random.choice([3, 4, 8]))
        values = {"accuracy": accuracy(random, one), "size_bytes": size(one), "latency_ms": 1.0}
        made.append(record(number, recipe=one, objectives=values))
    return made


def test_the_setting_that_decides_gets_nearly_all():
    found = importances(trials(60, lambda one: 1000 * one["quantize"]["bits"]), KNOWN)
    size = next(one for one in found if one.objective.name == "size_bytes")
    assert size.predicted > 0.9
    assert next(iter(size.shares)) == "quantize.bits"
    assert size.shares["quantize.bits"] > 0.9 * size.predicted


def test_the_parts_add_up_to_what_all_predict():
    found = importances(
        trials(60, lambda one: 1000 * one["quantize"]["bits"] * (1 - one["prune"]["amount"])),
        KNOWN,
    )
    for one in found:
        assert sum(one.shares.values()) == pytest.approx(one.predicted)
        assert all(share >= 0 for share in one.shares.values())


def test_chance_is_not_taken_for_knowledge():
    found = importances(trials(60, lambda one: 1000.0), KNOWN)
    assert [one.objective.name for one in found] == ["accuracy"]  # the size never differs
    assert found[0].predicted < 0.2


def test_few_trials_and_trials_of_one_recipe_tell_nothing():
    assert importances(trials(9, lambda one: 1000.0), KNOWN) == []
    same = [record(n, objectives={"accuracy": n / 20, "size_bytes": 1.0}) for n in range(12)]
    assert importances(same, KNOWN) == []


def test_the_formula_is_what_leaving_each_trial_out_gives():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(12, 2)), random.normal(size=12)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    errors, means = [], []
    for out in range(12):
        kept = np.arange(12) != out
        # The column of ones is not shrunk; the columns keep the scale they have with all trials.
        a = np.column_stack([np.ones(11), x[kept]])
        weights = np.linalg.solve(a.T @ a + np.diag([0.0, 2.0, 2.0]), a.T @ y[kept])
        errors.append(y[out] - np.append(1, x[out]) @ weights)
        means.append(y[out] - y[kept].mean())
    by_hand = 1 - np.square(errors).sum() / np.square(means).sum()
    assert predicted_r2([x], y, 2.0) == pytest.approx(by_hand)


def test_trials_with_an_unstable_latency_tell_nothing_of_latency():
    latency = OBJECTIVES["latency_ms"]
    one = recipe("l1", 0.5, "gpfq")

    def timed(number, stable):
        bits = 2 + number % 6
        made = {**one, "quantize": {**one["quantize"], "bits": bits}}
        values = {"accuracy": 0.9, "latency_ms": float(bits)}
        return record(number, recipe=made, objectives=values, metrics={"latency_stable": stable})

    assert importances([timed(n, stable=n < 12) for n in range(24)], [latency])
    assert importances([timed(n, stable=n < 9) for n in range(24)], [latency]) == []


def test_what_the_search_had_no_choice_in_is_no_cause() -> None:
    # the first, unchanged trial was not trained: its epochs differ, though nobody chose them
    records = [
        record(n, recipe={**recipe("l1", n / 20), "train": {"epochs": 4 * (n > 0), "lr": 0.01}},
               objectives={"accuracy": 0.9 if n else 0.1, "size_bytes": 1.0})
        for n in range(12)
    ]  # fmt: skip
    objectives = [OBJECTIVES["accuracy"]]
    [free] = importances(records, objectives)
    assert "train.epochs" in free.shares
    [told] = importances(records, objectives, {"train.epochs"})
    assert "train.epochs" not in told.shares
