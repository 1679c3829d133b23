"""The charts of a report as plain data for plotly.js, with every text escaped.

Plotly interprets ``<b>`` and ``<a>`` in texts. So any text that may come from a user, such as a
pipeline that names a model file, is escaped here.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from slimtune.results.objectives import Objective
from slimtune.results.pareto.selection import sound_members
from slimtune.results.units import axis_title, in_display_unit, number, percent, plural, quantity
from slimtune.results.views.columns import objective_cell
from slimtune.results.views.report.importance import Importance

Figure = dict[str, Any]

INK, FAINT, KNEE, BASELINE, LINE = "#1f2933", "#b4bec8", "#d1495b", "#1f2933", "#2b6cb0"
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": INK}
_GRID = {"gridcolor": "#e6eaee", "zeroline": False, "automargin": True}


def axes(objectives: Sequence[Objective]) -> tuple[Objective, list[Objective]]:
    """Return what goes up in the charts of the front, and what goes to the right, one a chart.

    Up goes the first objective that is maximized, or the first at all.
    """
    up = next((o for o in objectives if o.direction == "maximize"), objectives[0])
    return up, [o for o in objectives if o is not up]


def front_figures(
    front: pd.DataFrame,
    dominated: pd.DataFrame,
    baseline: Mapping[str, float],
    objectives: Sequence[Objective],
) -> list[Figure]:
    """Return one chart for each objective that goes to the right.

    Members are coloured by the next objective, if there is a third; the last trace is empty: the
    page puts a ring there around what is selected.

    Args:
        front: from `Run.front`.
        dominated: other complete trials.
        baseline: from `Run.baseline_values`.
        objectives: of the run.
    """
    up, right = axes(objectives)
    figures = []
    for place, across in enumerate(right):
        colour = right[(place + 1) % len(right)] if len(right) > 1 else None
        traces = [_dominated(dominated, across, up), _members(front, across, up, colour)]
        traces += _special(front, baseline, across, up)
        traces.append(_ring())
        layout = _front_layout(across, up)
        _fit(layout, traces, front, up)
        figures.append({"data": traces, "layout": layout})
    return figures


def growth_figure(growth: pd.DataFrame, whole: bool) -> Figure:
    """Return the hypervolume over the trials.

    Args:
        growth: from `Run.growth`.
        whole: whether it is a share of 1.
    """
    trials, volumes = growth["trial"].tolist(), growth["hypervolume"].tolist()
    before = [0.0, *volumes[:-1]]
    gained = [i for i, volume in enumerate(volumes) if volume > before[i]]
    line = {
        "type": "scatter", "mode": "lines", "name": "so far", "x": trials, "y": volumes,
        "line": {"shape": "hv", "color": LINE, "width": 2},
        "hovertemplate": "after trial %{x}: %{y:.4g}<extra></extra>",
    }  # fmt: skip
    marks = {
        "type": "scatter", "mode": "markers", "name": "a trial that added to it",
        "x": [trials[i] for i in gained], "y": [volumes[i] for i in gained],
        "customdata": [[trials[i], volumes[i] - before[i]] for i in gained],
        "marker": {"color": LINE, "size": 7},
        "hovertemplate": "trial %{x} added %{customdata[1]:.4g}<extra></extra>",
    }  # fmt: skip
    layout = _layout("trial", "share of the box" if whole else "hypervolume")
    layout["yaxis"]["rangemode"] = "tozero"
    if len(trials) <= 10:  # plotly would count in halves of a trial
        layout["xaxis"]["dtick"] = 1
    return {"data": [line, marks], "layout": layout}


def importance_figure(importance: Importance, most: int = 6) -> Figure:
    """Return the shares of one objective as bars, the largest on top.

    Args:
        importance: of the objective.
        most: bars.
    """
    shown = [item for item in importance.shares.items() if item[1] >= 0.005][:most][::-1]
    bars = {
        "type": "bar", "orientation": "h",
        "y": [html.escape(name) for name, _ in shown], "x": [share for _, share in shown],
        "text": [percent(share) for _, share in shown],
        "textposition": "outside", "textangle": 0, "cliponaxis": False,
        "marker": {"color": LINE}, "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }  # fmt: skip
    layout = _layout("", "")
    layout |= {"height": 90 + 32 * max(1, len(shown)), "showlegend": False, "bargap": 0.35}
    layout["margin"] = {"l": 10, "r": 44, "t": 8, "b": 32}
    layout["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero", "nticks": 5}
    return {"data": [bars], "layout": layout}


def hover_text(row: Mapping[Any, Any], objectives: Sequence[Objective]) -> str:
    """Return what a trial says of itself, one thing a line, escaped.

    Args:
        row: of a front or of all trials.
        objectives: of the run.
    """
    pipeline = html.escape(str(row["pipeline"])).replace(" → ", "<br>→ ")
    lines = [f"<b>trial {row['trial']}</b>", pipeline]
    for objective in objectives:
        words = objective_cell(row, objective).text_with_unit
        lines.append(f"{html.escape(objective.title)} {words}")
    return "<br>".join(lines)


def _points(table: pd.DataFrame, across: Objective, up: Objective) -> dict[str, Any]:
    return {
        "x": [in_display_unit(across, value) for value in table[across.name]],
        "y": [in_display_unit(up, value) for value in table[up.name]],
        "customdata": [int(number) for number in table["trial"]],
    }


def _dominated(table: pd.DataFrame, across: Objective, up: Objective) -> dict[str, Any]:
    objectives = [across, up]
    return {
        "type": "scatter", "mode": "markers", "name": "dominated",
        **_points(table, across, up),
        "text": [hover_text(row, objectives) for row in table.to_dict("records")],
        "hovertemplate": "%{text}<extra>dominated</extra>",
        "marker": {"color": FAINT, "size": 7, "opacity": 0.65},
    }  # fmt: skip


def _members(
    front: pd.DataFrame, across: Objective, up: Objective, colour: Objective | None
) -> dict[str, Any]:
    objectives = [up, across, *([colour] if colour else [])]
    marker: dict[str, Any] = {"color": LINE, "size": 11, "line": {"color": "white", "width": 1}}
    if colour is not None and len(front):
        marker |= _colours(front, colour)
    errors = front.get(f"{up.name}_standard_error")
    return {
        "type": "scatter", "mode": "markers", "name": "front",
        **_points(front, across, up),
        "text": [hover_text(row, objectives) for row in front.to_dict("records")],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": marker,
        # A legend has one colour a trace; points of many are told by their colour bar.
        "showlegend": "colorscale" not in marker,
        "error_y": {
            "type": "data", "visible": errors is not None,
            "array": [] if errors is None else [_finite(error) for error in errors],
            "thickness": 1, "width": 0, "color": "rgba(31,41,51,0.35)",
        },
    }  # fmt: skip


def _colours(front: pd.DataFrame, objective: Objective) -> dict[str, Any]:
    values = [float(value) for value in front[objective.name]]
    log = objective.log and min(values) > 0
    # Plotly has no logarithmic colours: the colour is the logarithm, the ticks say the value.
    numbers = [math.log10(value) if log else value for value in values]
    low, high = min(numbers), max(numbers)
    ticks = [low + (high - low) * step / 2 for step in range(3)] if high > low else [low]
    shown = [10**tick if log else tick for tick in ticks]
    words = [number(objective, value) for value in shown]
    title = f"front, by {axis_title(objective)}"
    return {
        "color": numbers,
        "colorscale": "Viridis",
        "colorbar": {
            "orientation": "h", "x": 1, "xanchor": "right", "y": 1.01, "yanchor": "bottom",
            "len": 0.5, "thickness": 9, "tickvals": ticks, "ticktext": words, "outlinewidth": 0,
            "title": {"text": html.escape(title), "side": "top", "font": {"size": 12}},
            "tickfont": {"size": 11},
        },
    }  # fmt: skip


def _special(
    front: pd.DataFrame, baseline: Mapping[str, float], across: Objective, up: Objective
) -> list[dict[str, Any]]:
    """Return the marks of the baseline and of the knee."""
    traces = []
    if across.name in baseline and up.name in baseline:
        values = "<br>".join(
            f"{html.escape(objective.title)} {quantity(objective, baseline[objective.name])}"
            for objective in (up, across)
        )
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "baseline",
                "x": [in_display_unit(across, baseline[across.name])],
                "y": [in_display_unit(up, baseline[up.name])],
                "hovertemplate": f"<b>baseline</b><br>{values}<extra></extra>",
                "marker": {"symbol": "star", "size": 14, "color": BASELINE},
            }
        )  # fmt: skip
    knee = front[front["knee"].astype(bool)]
    if len(knee):
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "knee", "hoverinfo": "skip",
                "x": [in_display_unit(across, knee[across.name].iloc[0])],
                "y": [in_display_unit(up, knee[up.name].iloc[0])],
                "marker": {
                    "symbol": "diamond-open", "size": 19,
                    "color": KNEE, "line": {"width": 2.5, "color": KNEE},
                },
            }
        )  # fmt: skip
    return traces


def _ring() -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": "selected", "x": [], "y": [],
        "hoverinfo": "skip", "showlegend": False,
        "marker": {
            "symbol": "circle-open", "size": 24, "color": INK, "line": {"width": 2, "color": INK}
        },
    }  # fmt: skip


def _front_layout(across: Objective, up: Objective) -> dict[str, Any]:
    layout = _layout(axis_title(across), axis_title(up))
    for axis, objective in (("xaxis", across), ("yaxis", up)):
        layout[axis] |= {"type": "log"} if objective.log else {}
    layout |= {"height": 420, "hovermode": "closest"}
    layout["margin"] = {"l": 10, "r": 10, "t": 58, "b": 10}
    return layout


def _fit(
    layout: dict[str, Any], traces: Sequence[Mapping[str, Any]], front: pd.DataFrame, up: Objective
) -> None:
    """Set the ticks of logarithmic axes, and leave trials far below the front out of the picture.

    They would press the front into its upper edge; a double click shows them.
    """
    for axis, name in (("xaxis", "x"), ("yaxis", "y")):
        values = [value for trace in traces for value in trace[name]]
        if layout[axis].get("type") == "log" and values:
            layout[axis] |= _ticks(min(values), max(values))
    if front.empty or up.direction != "maximize" or up.log:
        return
    # Collapsed members would stretch the axis as dominated trials do.
    kept = [in_display_unit(up, value) for value in front[up.name][sound_members(front)]]
    kept += [value for trace in traces if trace["name"] == "baseline" for value in trace["y"]]
    low, high = min(kept), max(kept)
    pad = 0.12 * ((high - low) or 0.1)
    below = [value for trace in traces[:2] for value in trace["y"] if value < low - pad]
    if below:
        layout["yaxis"]["range"] = [low - pad, high + pad]
        layout["annotations"] = [_below(len(below))]


def _below(count: int) -> dict[str, Any]:
    return {
        "text": f"{plural(count, 'more trial')} below: double-click shows all",
        "xref": "paper", "yref": "paper", "x": 1, "y": 0.01, "xanchor": "right",
        "yanchor": "bottom", "showarrow": False, "font": {"size": 11, "color": "#5b6875"},
        "bgcolor": "rgba(255,255,255,0.8)",
    }  # fmt: skip


def _round_step(least: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is at least ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Return ticks at 1, 2 and 5 times the powers of ten, with their numbers in full.

    Evenly spaced ones where so few of those would be seen that the axis could not be read.
    """
    if 1 < high / low < 5:
        step = _round_step((high - low) / 6)
        count = math.ceil(high / step) + 1
        values = [round(step * number, 12) for number in range(int(low / step) or 1, count)]
        return {"tickvals": values, "ticktext": [f"{value:g}" for value in values]}
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    values = [step * 10.0**power for power in powers for step in steps]
    return {"tickvals": values, "ticktext": [f"{value:g}" for value in values]}


def _layout(across: str, up: str) -> dict[str, Any]:
    return {
        "font": _FONT,
        "height": 300,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": {**_GRID, "title": {"text": html.escape(across)}},
        "yaxis": {**_GRID, "title": {"text": html.escape(up)}},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"size": 12}},
    }


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
