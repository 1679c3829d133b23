import json

import plotly.graph_objects as go
import pytest

from slimtune.results.objectives import OBJECTIVES, parse_objectives
from slimtune.results.views.report.charts import (
    axes,
    front_figures,
    growth_figure,
    hover_text,
    importance_figure,
)
from slimtune.results.views.report.importance import Importance
from tests.results.views.report.conftest import BASELINE, record

POINTS = [(0.94, 60_000.0, 0.6), (0.93, 30_000.0, 0.5), (0.92, 50_000.0, 0.7), (0.1, 900.0, 0.1)]


@pytest.fixture
def run(make_run):
    names = ("accuracy", "size_bytes", "latency_ms")
    records = [
        record(n, objectives=dict(zip(names, p, strict=True)), pipeline=f"<b>{n}</b> → KD")
        for n, p in enumerate(POINTS)
    ]
    return make_run(records)


def figures(run):
    trials = run.trials()
    return front_figures(run.front(), trials[~trials["on_front"]], BASELINE, run.objectives)


def test_plotly_itself_accepts_every_figure(run):
    made = [*figures(run), growth_figure(run.growth(), True)]
    made.append(importance_figure(Importance(OBJECTIVES["accuracy"], 0.5, {"prune.amount": 0.5})))
    for figure in made:
        go.Figure(figure)  # raises at an attribute that plotly does not have
        json.dumps(figure, allow_nan=False)


def test_there_is_a_chart_for_each_objective_that_accuracy_is_traded_against(run):
    by_size, by_latency = figures(run)
    members = by_size["data"][1]
    assert members["x"] == [60_000 / 1024, 30_000 / 1024, 900 / 1024]
    assert members["y"] == [0.94, 0.93, 0.1]
    assert members["customdata"] == [0, 1, 3]
    assert members["error_y"]["array"] == [0.01] * 3
    assert by_latency["data"][1]["x"] == [0.6, 0.5, 0.1]
    assert by_size["data"][0]["customdata"] == [2]  # dominated
    assert by_size["layout"]["xaxis"]["type"] == "log"


def test_the_third_objective_is_the_colour(run):
    by_size, by_latency = figures(run)
    assert "latency (ms)" in by_size["data"][1]["marker"]["colorbar"]["title"]["text"]
    bar = by_latency["data"][1]["marker"]["colorbar"]
    assert "size (KiB)" in bar["title"]["text"]
    assert bar["ticktext"] == ["0.9", "7.2", "58.6"]
    # a dot in the legend could have one of these colours only: the bar is the legend
    assert bar["title"]["text"] == "front, by size (KiB)"
    assert by_latency["data"][1]["showlegend"] is False

    assert bar["ticktext"][0] == "0.9"


def test_large_numbers_are_written_out_beside_the_colours(make_run):
    values = {"accuracy": 0.9, "size_bytes": 5_500_000.0, "latency_ms": 0.5}
    run = make_run([record(0, objectives=values)])
    assert figures(run)[1]["data"][1]["marker"]["colorbar"]["ticktext"] == ["5371.1"]


def test_a_narrow_range_of_latencies_has_enough_numbers_to_read_it(make_run):
    values = {"accuracy": 0.9, "size_bytes": 5_500_000.0}
    records = [record(n, objectives={**values, "latency_ms": 0.025 + n / 50}) for n in (0, 1)]
    run = make_run(records)
    baseline = {**BASELINE, "latency_ms": 0.07}
    chart = front_figures(run.front(), run.trials(), baseline, run.objectives)[1]
    assert chart["layout"]["xaxis"]["ticktext"] == [
        "0.02",
        "0.03",
        "0.04",
        "0.05",
        "0.06",
        "0.07",
        "0.08",
    ]


def test_a_few_trials_are_counted_in_whole_numbers(run):
    assert growth_figure(run.growth(), True)["layout"]["xaxis"]["dtick"] == 1


def test_baseline_and_knee_are_marked_and_a_trial_far_below_does_not_squeeze_the_rest(run):
    chart = figures(run)[0]
    named = {trace["name"]: trace for trace in chart["data"]}
    assert named["baseline"]["y"] == [0.95]
    assert named["knee"]["y"] == [0.93]
    assert named["selected"]["x"] == []
    low, high = chart["layout"]["yaxis"]["range"]
    assert 0.9 < low < 0.93 and 0.95 < high < 1
    assert "2 more trials below" in chart["layout"]["annotations"][0]["text"]


def test_words_of_a_user_are_escaped_in_what_plotly_reads_as_html(run):
    text = json.dumps(figures(run), ensure_ascii=False)
    assert "<b>0</b>" not in text
    assert "&lt;b&gt;0&lt;/b&gt;<br>→ KD" in text
    row = {"trial": 1, "pipeline": '<a href="x">', "accuracy": 0.5}
    assert "<a" not in hover_text(row, [OBJECTIVES["accuracy"]])


def test_two_objectives_make_one_chart_without_colours(make_run):
    run = make_run(
        [record(0, objectives={"accuracy": 0.9, "size_bytes": 10.0})], ("accuracy", "size_bytes")
    )
    charts = figures(run)
    assert len(charts) == 1
    assert "colorbar" not in charts[0]["data"][1]["marker"]
    assert charts[0]["data"][1]["showlegend"] is True
    go.Figure(charts[0])


def test_what_is_maximized_goes_up_whatever_its_place():
    up, right = axes(parse_objectives(["size_bytes", "accuracy"]))
    assert (up.name, [o.name for o in right]) == ("accuracy", ["size_bytes"])
    up, right = axes(parse_objectives(["latency_ms", "size_bytes"]))
    assert (up.name, [o.name for o in right]) == ("latency_ms", ["size_bytes"])


def test_the_growth_marks_the_trials_that_added_to_it(run):
    line, marks = growth_figure(run.growth(), True)["data"]
    assert line["x"] == [0, 1, 2, 3]
    assert marks["x"] == [0, 1, 3]
