import yaml

from slimtune.conditions import Conditions
from slimtune.results.objectives import OBJECTIVES
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.store.status import Status
from slimtune.results.views.report import contents
from slimtune.results.views.report.attribution import Effect, TechniqueGain
from tests.results.views.report.conftest import BASELINE, record

POINTS = [(0.945, 40_000.0, 0.9), (0.93, 20_000.0, 0.5), (0.1, 900.0, 0.4)]
NAMES = ("accuracy", "size_bytes", "latency_ms")


def complete():
    return [
        record(n, objectives=dict(zip(NAMES, point, strict=True)))
        for n, point in enumerate(POINTS)
    ]


def failed(number, error="diverged", status="failed"):
    return record(number, status=status, error=error, objectives={}, metrics={})


def test_the_summary_counts_and_says_whether_the_search_goes_on():
    records = [*complete(), failed(3), failed(4, status="stopped")]
    told = contents.summary_line(records, Status("running", total=9))
    assert told.startswith("5 of 9 trials: 3 complete, 1 stopped early, 1 failed; the search is")
    assert contents.summary_line(records[:3], Status("finished", 3)) == "3 trials: 3 complete"
    assert "was interrupted" in contents.summary_line(records, Status("interrupted", 9))
    spent = Status("finished", 9, reason="the time budget of 1m is spent")
    assert contents.summary_line(records, spent).endswith("; the time budget of 1m is spent")


def test_the_cards_are_the_knee_and_the_smallest_without_a_measurable_loss(make_run):
    run = make_run(complete())
    front = run.front()
    knee, same = contents.highlights(run, front, run.baseline_values(front), "'runs/a b'")
    assert (knee.trial, same.trial) == (1, 0)
    assert knee.command == "slimtune export 'runs/a b' --pick knee -o deploy/"
    assert same.command == "slimtune export 'runs/a b' --trial 0 -o small/"
    assert "accuracy 0.9300 ± 0.0100, baseline 0.9500" in knee.facts
    assert "size 19.5 KiB (5.0×)" in knee.facts


def test_the_members_have_the_baseline_first_and_test_accuracy_where_it_was_measured(make_run):
    run = make_run(complete())
    rows = [JointRow(trial=None, test_accuracy=0.9, test_standard_error=0.01, latency_ms=1.0)]
    rows += [
        JointRow(trial=n, test_accuracy=0.8, test_standard_error=0.02, latency_ms=0.9 - n / 5)
        for n in range(3)
    ]
    write_joint(run.path, rows)
    front = run.front()
    columns = contents.member_columns(front)
    table = contents.member_rows(run, front, run.baseline_values(front))
    assert columns == ["accuracy ↑", "test ↑", "size KiB ↓", "latency ms ↓"]
    assert [row["trial"] for row in table] == [None, 0, 1, 2]
    assert table[0]["cells"][1] == "0.9000 ± 0.0100"
    assert table[1]["cells"][1] == "0.8000 ± 0.0200"
    assert [row["knee"] for row in table] == [False, False, True, False]
    assert table[3]["collapsed"]


def test_reasons_are_grouped_the_commonest_first():
    records = [failed(0, "no memory"), failed(1), failed(2), failed(3, None)]
    assert contents.reasons(records, "failed") == [
        {"reason": "diverged", "count": 2, "trials": "1, 2"},
        {"reason": "no memory", "count": 1, "trials": "0"},
        {"reason": "no reason was recorded", "count": 1, "trials": "3"},
    ]
    assert contents.reasons(records, "stopped") == []


def test_how_it_was_measured_says_rounds_host_and_time(make_run):
    other = record(3, host={"cpu": "another", "cores": 8}, conditions=Conditions(3, threads=4))
    run = make_run([*complete(), other], limits={"latency_ms": 0.7})
    facts = dict(contents.measurement_facts(run, run.records, run.front()))
    assert "72 of 96 rounds (75%) counted" in facts["latency"]
    assert facts["machine"] == "a test, none, 2 cores"
    assert facts["other machines"] == "trials also ran on another"
    assert facts["threads"] == "3 trials with 1 thread on cpu, 1 trial with 4 threads on cpu"
    assert facts["time"].startswith("12.0 s of work in all trials; a trial on average: fine-tune")
    assert facts["limits"] == "only trials with latency <= 0.7 ms"


def test_a_technique_without_pairs_has_dashes():
    effect = Effect(0.25, 0.2, 0.3, ratio=True)
    bought = [
        TechniqueGain("quantize", "gpfq", 5, 4, {"size_bytes": effect}),
        TechniqueGain("prune", "l1", 2, 0, {}),
    ]
    known = [OBJECTIVES[name] for name in ("accuracy", "size_bytes")]
    first, second = contents.technique_rows(bought, known)
    assert first["cells"] == [("–", ""), ("4.0× smaller", "3.3× to 5.0×")]
    assert second["cells"] == [("–", "")] * 2


def test_commands_name_the_knee_and_the_settings_load_back(make_run):
    run = make_run(complete())
    told = dict(contents.commands(run, "run", run.front()))
    assert "slimtune rerun run --trial 1 --check" in told.values()
    assert "slimtune search --resume run --trials 6" in told.values()
    assert yaml.safe_load(contents.settings_yaml(run)) == {"data": "digits", "model": "resnet8"}
    assert contents.highlights(run, run.front().iloc[:0], BASELINE, "run") == []


def test_trials_that_one_rule_stopped_at_one_point_are_together():
    why = "fine-tune 1/4: dominated by {} of {} peers, {} of them by fewer"  # of version 1
    reasons = [
        why.format(1, 5, 4),
        why.format(2, 6, 6),
        "after epoch 1 of 4 (fine-tune): 8 of 9 comparable trials were better",
        "before training: size 40 kB is over the limit of 20 kB",
        "before training: size 31 kB is over the limit of 20 kB",
        "before training: trial 3 is better even if this one reached an accuracy of 0.99",
    ]
    records = [failed(n, status="stopped", error=reason) for n, reason in enumerate(reasons)]
    assert [(row["reason"], row["trials"]) for row in contents.reasons(records, "stopped")] == [
        ("after epoch 1 of 4 (fine-tune): most of the comparable trials were better", "0, 1, 2"),
        ("before training: size over the limit of 20 kB", "3, 4"),
        (
            "before training: a complete trial is better, even if these reached the best accuracy "
            "expected",
            "5",
        ),
    ]


def test_a_view_is_told_and_its_knee_is_exported_by_its_number(make_run):
    run = make_run(complete()).within({"max_size": "25kB"})
    front = run.front()
    [knee, *_] = contents.highlights(run, front, run.baseline_values(front), "a")
    assert knee.command == f"slimtune export a --trial {knee.trial} -o deploy/"
    told = dict(contents.measurement_facts(run, run.records, front))
    assert told["limits"] == "only trials with size <= 25 kB"
    assert (
        f"slimtune export a --trial {knee.trial} -o deploy/"
        in dict(contents.commands(run, "a", front)).values()
    )
