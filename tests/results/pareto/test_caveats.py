import math

import numpy as np
import pandas as pd
import pytest

from slimtune.conditions import Conditions
from slimtune.results import interval
from slimtune.results.pareto.caveats import (
    accuracy_error,
    add_caveats,
    chance_level,
    collapsed_rows,
    differ,
    without_loss,
)
from slimtune.results.store.record import TrialRecord

TEN = {"classes": [str(n) for n in range(10)], "validation": 400}


def record(number, error=0.01):
    metrics = {} if error is None else {"accuracy_standard_error": error}
    return TrialRecord(
        number=number,
        status="complete",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        metrics=metrics,
    )


def told(rows, error=0.01, baseline=0.95):
    """Caveats of rows of (accuracy, bytes, ms)."""
    names = ["accuracy", "size_bytes", "latency_ms"]
    table = pd.DataFrame(rows, columns=names)
    table.insert(0, "trial", range(len(rows)))
    table["pipeline"] = "p"
    records = [record(n, error) for n in range(len(rows))]
    return add_caveats(table, records, TEN, {"accuracy": baseline})


def test_a_member_is_within_noise_of_one_that_is_better_in_all_else():
    # By hand: the error of a difference is 0.0141; 0.950 and 0.940 are closer, 0.930 is not.
    table = told([(0.95, 300, 3.0), (0.94, 200, 2.0), (0.93, 100, 2.5)])
    assert table["within_noise_of"].tolist() == [1, pd.NA, pd.NA]


def test_a_close_member_that_costs_more_of_anything_is_another_choice():
    table = told([(0.95, 300, 3.0), (0.945, 200, 3.1)])
    assert table["within_noise_of"].isna().all()


def test_of_several_the_furthest_that_noise_reaches_is_named():
    table = told([(0.95, 300, 3.0), (0.945, 200, 2.0), (0.94, 100, 1.0)])
    assert table["within_noise_of"].tolist()[:2] == [2, 2]


def test_of_two_that_are_equal_in_everything_only_the_later_is_a_twin():
    table = told([(0.9, 100, 1.0), (0.9, 100, 1.0)])
    assert table["within_noise_of"].tolist() == [pd.NA, 0]


def test_without_an_error_bar_nothing_is_within_noise():
    assert told([(0.9, 300, 3.0), (0.9, 200, 2.0)], None)["within_noise_of"].tolist() == [1, pd.NA]
    table = pd.DataFrame({"trial": [0, 1], "accuracy": [0.9, 0.9], "size_bytes": [2, 1]})
    table["pipeline"] = "p"
    known = add_caveats(table, [record(0, None), record(1, None)], {}, {})
    assert known["within_noise_of"].isna().all()
    assert known["accuracy_standard_error"].isna().all()


def test_the_error_is_the_recorded_one_or_that_of_the_images():
    assert accuracy_error(record(0, 0.02), 0.9, TEN) == 0.02
    assert accuracy_error(record(0, None), 0.9, TEN) == pytest.approx(math.sqrt(0.09 / 400))
    assert math.isnan(accuracy_error(record(0, None), 0.9, {}))
    assert differ(0.9, 0.92, (0.01, 0.01)) and not differ(0.9, 0.91, (0.01, 0.01))


def test_chance_is_the_most_frequent_class_or_one_of_the_classes():
    assert chance_level({"chance": 0.3, **TEN}) == 0.3
    assert chance_level(TEN) == pytest.approx(0.1)
    assert chance_level({}) is None


def test_a_member_collapses_below_half_of_what_the_baseline_has_above_chance():
    # By hand: chance 0.1, baseline 0.9: the half is at 0.5.
    scores = pd.Series([0.1, 0.49, 0.51, 0.9])
    assert collapsed_rows(scores, TEN, 0.9).tolist() == [True, True, False, False]
    assert not collapsed_rows(scores, TEN, None).any()
    assert not collapsed_rows(scores, {}, 0.9).any()
    assert not collapsed_rows(
        scores, TEN, 0.1
    ).any()  # a baseline that knows nothing measures nothing


def test_what_cannot_be_told_from_the_baseline_is_named():
    table = told([(0.96, 3, 3.0), (0.945, 2, 2.0), (0.90, 1, 1.0)])
    assert without_loss(table, {"accuracy": 0.95}, 400) == [0, 1]
    assert without_loss(table, {}, 400) == []
    assert without_loss(table, {"accuracy": 0.95}, None) == []


def test_a_front_without_accuracy_has_no_caveats():
    table = pd.DataFrame({"trial": [0], "size_bytes": [1], "latency_ms": [1.0], "pipeline": ["p"]})
    assert add_caveats(table, [record(0)], TEN, {}) is table


def test_an_empty_front_gets_the_columns():
    table = told(np.empty((0, 3)))
    assert {"within_noise_of", "collapsed", "accuracy_standard_error"} <= set(table.columns)


def test_a_recorded_error_of_0_is_computed_anew():
    expected = interval.standard_error(1.0, 400)
    assert accuracy_error(record(0, 0.0), 1.0, TEN) == expected > 0
    table = pd.DataFrame({"trial": [0, 1], "accuracy": [1.0, 0.999], "size_bytes": [2, 1]})
    table["pipeline"] = "p"
    known = add_caveats(table, [record(0, 0.0), record(1, None)], TEN, {})
    assert known["within_noise_of"].tolist()[0] == 1  # 400 images do not tell 1.0 from 0.999
    assert without_loss(known, {"accuracy": 1.0}, 400) == [0, 1]
