import io
import math
import statistics
from pathlib import Path

import pytest
from rich.console import Console

from slimtune.conditions import Conditions
from slimtune.errors import UnknownNameError
from slimtune.results.run import Run, open_run
from slimtune.results.store.finals import FinalKey, write_final_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.summary import summarise, summary_table

L1 = {"prune": {"method": "l1", "amount": 0.3}, "quantize": {"method": "none"}}
FPGM = {"prune": {"method": "fpgm", "amount": 0.4}, "quantize": {"method": "none"}}
TRIALS = [(L1, 0.90, 500), (L1, 0.92, 500), (L1, 0.97, 500), (FPGM, 0.8, 250), (FPGM, None, 0)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1100},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "a", manifest)
    for number, (recipe, accuracy, size) in enumerate(TRIALS):
        record = TrialRecord(
            number=number,
            status="failed" if accuracy is None else "complete",
            recipe=recipe,
            pipeline=f"{recipe['prune']['method']}",
            conditions=Conditions(seed=number),
            objectives={} if accuracy is None else {"accuracy": accuracy, "size_bytes": size},
            metrics={} if accuracy is None else {"macs": size * 2},
            error="diverged" if accuracy is None else None,
        )
        folder.write_trial(record, {}, {})
    folder.write_baseline(
        {"objectives": {"accuracy": 0.95, "size_bytes": 1000}, "metrics": {"macs": 4000}}, {}
    )
    return open_run(folder.path)


def test_repeats_of_a_recipe_are_one_row_with_mean_and_sample_deviation(run: Run) -> None:
    table = summarise(run, ("pipeline", "accuracy", "size_bytes"))
    assert table["pipeline"].tolist() == ["baseline", "l1", "fpgm"]
    assert table["runs"].tolist() == [1, 3, 1]  # the failed trial is no run
    assert table["accuracy"][1] == pytest.approx(statistics.mean([0.90, 0.92, 0.97]))
    assert table["accuracy_sd"][1] == pytest.approx(statistics.stdev([0.90, 0.92, 0.97]))
    assert math.isnan(table["accuracy_sd"][2])


def test_ratios_and_changes_are_against_the_baseline(run: Run) -> None:
    columns = ("compression_ratio", "macs_ratio", "accuracy_change")
    table = summarise(run, columns)
    assert table["compression_ratio"].tolist() == [1.0, 2.0, 4.0]
    assert table["macs_ratio"].tolist() == [1.0, 4.0, 8.0]
    assert table["accuracy_change"].tolist() == pytest.approx([0.0, -0.02, -0.15])


def test_settings_of_the_recipe_are_columns_and_none_is_empty(run: Run) -> None:
    table = summarise(run, ("prune.method", "prune.amount", "quantize.method"))
    assert table["prune.method"].tolist() == ["baseline", "l1", "fpgm"]
    assert table["prune.amount"].tolist() == ["", 0.3, 0.4]
    assert table["quantize.method"].tolist() == ["", "", ""]


def test_an_unknown_column_is_refused_with_the_nearest(run: Run) -> None:
    with pytest.raises(UnknownNameError, match="'acuracy'. Did you mean 'accuracy'"):
        summarise(run, ("acuracy",))
    with pytest.raises(UnknownNameError, match="no trial has the column 'prone.method'"):
        summarise(run, ("prone.method",))


def test_the_table_shows_the_spread_only_where_there_is_one(run: Run) -> None:
    table = summary_table(summarise(run, ("prune.method", "accuracy", "size_bytes")))
    assert [str(column.header) for column in table.columns] == [
        "prune", "accuracy", "size KiB", "runs",
    ]  # fmt: skip
    cells = [str(cell) for cell in table.columns[1].cells]
    assert cells == ["0.9500", "0.9300 ± 0.0361", "0.8000"]
    single = summarise(run, ("accuracy",))[:1]
    assert [str(column.header) for column in summary_table(single).columns] == ["accuracy"]


def test_finals_follow_the_trials_in_rows_of_their_own(run: Run) -> None:
    assert "final" not in summarise(run, ("pipeline", "accuracy"))
    for key, accuracy in (
        (FinalKey(2, 30, 0), 0.96),
        (FinalKey(2, 30, 1), 0.98),
        (FinalKey(2, 9, 0), 0.91),
        (FinalKey(3, 30, 0), None),
    ):
        record = TrialRecord(
            number=key.trial,
            status="failed" if accuracy is None else "complete",
            recipe=L1,
            pipeline="l1",
            conditions=Conditions(seed=9),
            objectives={} if accuracy is None else {"accuracy": accuracy, "size_bytes": 500},
        )
        write_final_run(run.folder, key, record, spec={}, files={})
    table = summarise(run, ("pipeline", "accuracy"))
    assert table["pipeline"].tolist() == ["baseline", "l1", "fpgm", "l1", "l1"]
    assert table["final"].tolist() == [0, 0, 0, 9, 30]
    assert table["runs"].tolist() == [1, 3, 1, 1, 2]
    assert table["accuracy"].tolist()[3:] == pytest.approx([0.91, 0.97])
    assert table["accuracy_sd"][4] == pytest.approx(statistics.stdev([0.96, 0.98]))
    shown = Console(width=100, file=io.StringIO())
    shown.print(summary_table(table))
    assert "30 epochs  0.9700 ± 0.0141" in shown.file.getvalue()


def test_unstable_latencies_are_left_out_of_a_mean_or_marked(tmp_path: Path) -> None:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "latency_ms"],
        "reference_point": {"accuracy": 0.0, "latency_ms": 2.2},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "b", manifest)
    measured = [(L1, 1.0, True), (L1, 3.0, False), (FPGM, 0.8, False)]
    for number, (recipe, ms, stable) in enumerate(measured):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe=recipe,
            pipeline=f"{recipe['prune']['method']}",
            conditions=Conditions(seed=number),
            objectives={"accuracy": 0.9, "latency_ms": ms},
            metrics={"latency_stable": stable},
        )
        folder.write_trial(record, {}, {})
    folder.write_baseline({"objectives": {"accuracy": 0.95, "latency_ms": 2.0}, "metrics": {}}, {})
    table = summarise(open_run(folder.path), ("pipeline", "latency_ms", "speedup"))
    assert table["latency_ms"].tolist() == [2.0, 1.0, 0.8]
    assert table["latency_stable"].tolist() == [True, True, False]
    console = Console(width=80, file=io.StringIO())
    console.print(summary_table(table))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0.800 ~" in text and "2.5×" not in text and "2.0×" in text
    assert "too busy" in text
    assert "latency_stable" not in summarise(open_run(folder.path), ("pipeline", "accuracy"))
