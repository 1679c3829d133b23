import csv
import dataclasses
import io
import json

import pandas as pd
import pytest
from rich.console import Console

from slimtune.conditions import Conditions
from slimtune.results.run import Run
from slimtune.results.store.finals import FinalKey, write_final_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.record import TrialRecord
from slimtune.results.views.tables import front_csv, front_json, front_parquet, front_table

PIPELINES = [
    "=HYPERLINK(1)",
    "[bold]taylor[/bold] 50% → int8_static → KD base T=4 α=0.7 " + "x" * 60,
]


def make_run(path, objectives):
    manifest = {
        "config": {},
        "objectives": list(objectives),
        "reference_point": objectives,
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(path, manifest)
    for number, pipeline in enumerate(PIPELINES):
        values = {name: 0.4 + number * 0.5 for name in objectives}
        values |= {"size_bytes": 1024 * (number + 1)} if "size_bytes" in objectives else {}
        record = TrialRecord(
            number=number,
            status="complete",
            recipe={},
            pipeline=pipeline,
            conditions=Conditions(seed=0),
            objectives=values,
        )
        folder.write_trial(record, {}, {})
    return Run(folder)


@pytest.fixture
def run(tmp_path):
    reference = {"accuracy": 0.0, "size_bytes": 10_000.0, "latency_ms": 10.0}
    run = make_run(tmp_path / "a", reference)
    baseline = {"accuracy": 0.96, "size_bytes": 8192, "latency_ms": 1.8}
    run.folder.write_baseline({"objectives": baseline}, {})
    return run


def shown(run, width=100):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(front_table(run))
    return console.file.getvalue()


def test_the_table_fits_and_starts_with_the_baseline(run):
    rows = [
        JointRow(trial=None, test_accuracy=0.95, test_standard_error=0.0022, latency_ms=1.8),
        JointRow(trial=0, test_accuracy=0.41, test_standard_error=0.0049, latency_ms=0.4),
        JointRow(
            trial=1, test_accuracy=0.89, test_standard_error=0.0031, latency_ms=0.9, stable=False
        ),
    ]
    write_joint(run.path, rows)
    lines = shown(run).splitlines()
    assert max(map(len, lines)) <= 100
    head, base, best = lines[:3]
    for title in ("trial", "accuracy ↑", "test ↑", "size KiB ↓", "latency ms ↓", "pipeline"):
        assert title in head
    for cell in ("0.9600", "0.9500 ± 0.0022", "8.0", "1.800", "baseline"):
        assert cell in base
    for cell in ("1", "0.9000", "0.8900 ± 0.0031", "2.0 (4.0×)", "0.900 ~"):
        assert cell in best
    assert "(2.0×)" not in best  # of a latency that may be too high, no ratio is told
    assert "too busy" in lines[-1]


def test_the_knee_has_its_mark_and_brackets_are_text(run):
    text = shown(run, width=300)
    assert text.count("◆") == 1
    assert "[bold]taylor[/bold] 50%" in text


def test_other_objectives_and_a_missing_baseline_have_their_place(tmp_path):
    run = make_run(tmp_path / "b", {"accuracy": 0.0, "params": 100.0})
    text = shown(run)
    assert "params ↓" in text
    assert "baseline" not in text
    assert "latency" not in text


def test_csv_has_the_columns_of_the_front_and_no_formula(run):
    rows = list(csv.DictReader(io.StringIO(front_csv(run))))
    assert list(rows[0]) == list(run.front().columns)
    assert [row["trial"] for row in rows] == ["1", "0"]
    assert rows[1]["pipeline"] == "'=HYPERLINK(1)"
    assert rows[1]["size_bytes"] == "1024"


def test_json_has_null_for_what_was_not_measured(run):
    write_joint(run.path, [JointRow(trial=1, test_accuracy=0.5)])
    rows = json.loads(front_json(run))
    assert [row["test_accuracy"] for row in rows] == [0.5, None]
    assert rows[0]["knee"] in (True, False)
    assert rows[1]["pipeline"] == "=HYPERLINK(1)"


def test_finals_show_mean_and_spread_of_both_accuracies_and_say_so(run):
    spread = {"accuracy_mean": 0.88, "accuracy_sd": 0.0123}
    spread |= {"test_accuracy_mean": 0.87, "test_accuracy_sd": 0.0321}
    rows = [
        JointRow(trial=None, test_accuracy=0.95, test_standard_error=0.0022, latency_ms=1.8),
        JointRow(
            trial=1,
            test_accuracy=0.89,
            test_standard_error=0.0031,
            latency_ms=0.9,
            final="0001-e30-r1",
            repeats=3,
            **spread,
        ),
    ]
    write_joint(run.path, rows)
    key = FinalKey(1, 30, 1)
    record = TrialRecord(
        number=1,
        status="complete",
        recipe={},
        pipeline="l1",
        conditions=Conditions(seed=0),
        objectives={"accuracy": 0.89, "size_bytes": 1024, "latency_ms": 0.8},
    )
    write_final_run(run.folder, key, record, spec={}, files={})
    lines = shown(run).splitlines()
    assert "0.9500 ± 0.0022" in lines[1] and "0.9600 " in lines[1]
    assert "0.8800 ± 0.0123" in lines[2] and "0.8700 ± 0.0321" in lines[2]
    assert max(map(len, lines)) <= 100
    text = " ".join(line.strip() for line in lines[3:])
    assert text.startswith("accuracy, test: mean ± standard deviation of 3 finals (30 epochs,")
    assert text.endswith("size, latency: of the median one, which ships")
    found = json.loads(front_json(run))[0]
    assert (found["accuracy"], found["accuracy_mean"], found["final"]) == (0.89, 0.88, key.name)
    assert next(csv.DictReader(io.StringIO(front_csv(run))))["test_accuracy_sd"] == "0.0321"

    write_joint(run.path, [dataclasses.replace(rows[1], accuracy_sd=None, test_accuracy_sd=None)])
    text = shown(run)
    assert "members: finals, of 30 epochs, with another seed than the trial's" in text
    assert "0.8900 " in text and "0.8900 ± 0.0031" in text


def test_error_bars_and_marks_are_explained_below_the_table(run):
    run.folder.manifest["workload"] |= {"classes": list("0123456789"), "validation": 400}
    text = shown(run)
    assert "0.9000 ± 0.0150" in text
    assert "✗ 0" in text and "accuracy less than half as far above chance" in text
    assert "≈" not in text
    run.folder.manifest["workload"]["validation"] = 10
    assert "no measurable loss against the baseline (10 images): 1" in shown(run)


def test_a_twin_has_its_number_in_a_column_of_its_own(run):
    front = run.front()
    front["within_noise_of"] = pd.array([0, None], dtype="Int64")
    console = Console(width=120, file=io.StringIO(), color_system=None)
    console.print(front_table(run, front))
    text = console.file.getvalue()
    assert "≈0" in text and "≈N within noise of trial N" in text
    assert json.loads(front_json(run, front))[1]["within_noise_of"] is None


def test_parquet_reads_back_as_the_front(run):
    back = pd.read_parquet(io.BytesIO(front_parquet(run)))
    assert back.columns.tolist() == run.front().columns.tolist()
    assert back["pipeline"].tolist() == run.front()["pipeline"].tolist()
