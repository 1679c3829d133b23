import numpy as np
import pandas as pd

from slimtune.conditions import Conditions
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.pareto.trial_table import (
    best_first,
    rows_of,
    table_of,
    values_of,
    with_knee,
    within_limits,
)
from slimtune.results.store.record import TrialRecord

BOTH = [OBJECTIVES["accuracy"], OBJECTIVES["size_bytes"]]


def record(number, **objectives):
    return TrialRecord(
        number=number,
        status="complete",
        recipe={},
        pipeline=f"p{number}",
        conditions=Conditions(seed=0),
        objectives=objectives,
    )


def test_counts_are_whole_numbers_unless_one_is_missing():
    records = [record(0, accuracy=0.5, size_bytes=10.0), record(1, accuracy=0.7, size_bytes=20.0)]
    table = table_of(records, BOTH)
    assert table.columns.tolist() == ["trial", "accuracy", "size_bytes", "pipeline"]
    assert table["size_bytes"].tolist() == [10, 20] and table["size_bytes"].dtype == "int64"
    partial = [*records, record(2, accuracy=0.1)]
    assert np.isnan(values_of(partial, BOTH)[2, 1])
    assert table_of(partial, BOTH)["size_bytes"].dtype == float
    assert values_of([], BOTH).shape == (0, 2)


def test_rows_within_limits_are_left_and_unknown_columns_say_nothing():
    table = pd.DataFrame({"trial": [0, 1], "accuracy": [0.5, 0.9]})
    assert within_limits(table, {"accuracy": 0.6, "latency_ms": 1.0})["trial"].tolist() == [1]
    assert rows_of(table)[0] == {"trial": 0, "accuracy": 0.5}


def test_a_front_is_sorted_by_its_means_and_knows_its_knee_and_ratios():
    table = pd.DataFrame(
        {"trial": [4, 2, 7], "accuracy": [0.9, 0.95, 0.95], "size_bytes": [10, 1000, 2000]}
    )
    ordered = best_first(table, BOTH)
    assert ordered["trial"].tolist() == [2, 7, 4]
    assert best_first(table.assign(accuracy_mean=[1.0, 0.8, 0.9]), BOTH)["trial"].tolist() == [
        4, 7, 2,
    ]  # fmt: skip
    done = with_knee(ordered, {"size_bytes": 4000})
    assert done["size_ratio"].tolist() == [4.0, 2.0, 400.0]
    assert done["knee"].sum() == 1 and "latency_ratio" not in done
    assert with_knee(ordered.iloc[:0].copy(), {})["knee"].tolist() == []
