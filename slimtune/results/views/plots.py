"""Figures, as PNG. The only door to matplotlib."""

import io
import statistics
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from slimtune.errors import UserError
from slimtune.results.objectives import Objective
from slimtune.results.pareto.selection import sound_members
from slimtune.results.run import Run
from slimtune.results.units import axis_title, in_display_unit, percent
from slimtune.results.views.report.charts import axes as front_axes
from slimtune.results.views.report.importance import importances
from slimtune.results.views.summary import repeats_by_recipe

_INCHES_A_ROW = 0.32


def spread_png(run: Run) -> bytes:
    """Return a PNG: every pipeline's validation accuracy, mean and spread over its seeds.

    One line a pipeline, the most accurate on top: a dot for each trial, the mean as a bar mark
    with the sample standard deviation to both sides, the baseline as a dashed line.

    Raises:
        UserError: the run has no complete trial.
        RunError: a record is damaged.
    """
    pipelines = repeats_by_recipe(run)
    groups = [[_accuracy(r.to_dict()) for r in records] for records in pipelines]
    labels = [_short(records[0].pipeline) for records in pipelines]
    if not groups:
        raise UserError(f"{run.path}: has no complete trial to draw; let the search continue")
    order = sorted(range(len(groups)), key=lambda index: statistics.mean(groups[index]))
    figure = Figure(figsize=(8, 1.4 + _INCHES_A_ROW * len(groups)), layout="constrained")
    axes = figure.subplots()
    for height, index in enumerate(order):
        _draw_row(axes, groups[index], height)
    if (run.path / "baseline").is_dir():
        score = _accuracy(run.baseline)
        axes.axvline(score, linestyle="--", color="grey", linewidth=1, label="baseline")
    axes.set_yticks(range(len(order)), [labels[i] for i in order], fontsize=8, parse_math=False)
    axes.set_xlabel(f"validation accuracy, {_runs_words([len(scores) for scores in groups])}")
    axes.grid(axis="x", alpha=0.3)
    handles, names = axes.get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    axes.legend(once.values(), once.keys(), loc="lower right", fontsize=8)
    return _png(figure)


def front_png(run: Run) -> bytes | None:
    """Return a PNG: the front, one picture for each objective that the first is traded against.

    Members are coloured by the next objective; other complete trials are grey, the baseline is a
    star, the knee wears a diamond. Trials far below the front are left out. None without a
    complete trial.

    Raises:
        RunError: a record is damaged.
    """
    front, trials = run.front(), run.trials()
    if front.empty:
        return None
    others = trials[(trials["status"] == "complete") & ~trials["on_front"]]
    baseline = run.baseline_values(front)
    up, right = front_axes(run.objectives)
    figure = Figure(figsize=(5.2 * len(right), 4.2), layout="constrained")
    for place, across in enumerate(right):
        axes = figure.add_subplot(1, len(right), place + 1)
        colour = right[(place + 1) % len(right)] if len(right) > 1 else None
        _draw_front(axes, front, others, (across, up, colour))
        if {up.name, across.name} <= baseline.keys():
            point = (
                in_display_unit(across, baseline[across.name]),
                in_display_unit(up, baseline[up.name]),
            )
            axes.plot(*point, "*", color="#1f2933", markersize=12, label="baseline")
        if up.direction == "maximize":
            kept = [*front[up.name][sound_members(front)], *_known(baseline, up)]
            high, low = (in_display_unit(up, value) for value in (max(kept), min(kept)))
            pad = 0.15 * ((high - low) or 0.1)
            axes.set_ylim(low - pad, high + pad)
        axes.legend(loc="lower right", fontsize=8)
    return _png(figure)


def growth_png(run: Run) -> bytes | None:
    """Return a PNG: the hypervolume over the trials; None without a trial.

    Raises:
        RunError: a record is damaged.
    """
    growth = run.growth()
    if growth.empty:
        return None
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.step(growth["trial"], growth["hypervolume"], where="post", color="#2b6cb0")
    axes.set_xlabel("trial")
    axes.set_ylabel("hypervolume")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return _png(figure)


def importance_png(run: Run) -> bytes | None:
    """Return a PNG: what predicts each objective (`views.report.importance`).

    None with too few complete trials to tell.

    Raises:
        RunError: a record is damaged.
    """
    complete = [record for record in run.records if record.status == "complete"]
    found = importances(complete, run.objectives)
    if not found:
        return None
    figure = Figure(figsize=(4.2 * len(found), 2.8), layout="constrained")
    for place, one in enumerate(found):
        axes = figure.add_subplot(1, len(found), place + 1)
        shown = [item for item in one.shares.items() if item[1] >= 0.005][:6][::-1]
        labels, shares = [name for name, _ in shown], [100 * share for _, share in shown]
        axes.barh(range(len(shown)), shares, color="#2b6cb0")
        axes.set_yticks(range(len(shown)), labels, fontsize=8, parse_math=False)
        title = f"{one.objective.title}: {percent(one.predicted)} predicted"
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.set_xlabel("% of the differences", fontsize=8)
    return _png(figure)


def _known(values: Mapping[str, float], objective: Objective) -> list[float]:
    """Return the value of the objective, if it is there."""
    return [values[objective.name]] if objective.name in values else []


def _draw_front(
    axes: Axes,
    front: pd.DataFrame,
    others: pd.DataFrame,
    objectives: tuple[Objective, Objective, Objective | None],
) -> None:
    """Draw the trials, and leave those far below the front out of the picture."""
    across, up, colour = objectives

    def values(table: pd.DataFrame, objective: Objective) -> list[float]:
        return [in_display_unit(objective, value) for value in table[objective.name]]

    x, y = values(front, across), values(front, up)
    axes.scatter(values(others, across), values(others, up), s=14, color="#b4bec8", label="others")
    if f"{up.name}_standard_error" in front:
        bars = front[f"{up.name}_standard_error"]
        axes.errorbar(x, y, yerr=bars, fmt="none", ecolor="#1f293355", elinewidth=1)
    hues = None if colour is None else values(front, colour)
    norm = LogNorm() if colour is not None and colour.log and min(hues or [0]) > 0 else None
    scheme: dict[str, Any] = {} if hues is None else {"c": hues, "cmap": "viridis", "norm": norm}
    drawn = axes.scatter(x, y, s=36, zorder=3, label="front", **scheme)
    if colour is not None:
        bar = axes.figure.colorbar(drawn, ax=axes, label=axis_title(colour))
        if norm is not None:
            _plain_ticks(bar.ax.yaxis)
    knee = front.index[front["knee"].astype(bool)]
    axes.scatter(
        [x[i] for i in knee], [y[i] for i in knee], s=150, marker="D",
        facecolors="none", edgecolors="#d1495b", linewidths=1.8, zorder=4, label="knee",
    )  # fmt: skip
    for objective, scale, name, axis in (
        (across, axes.set_xscale, axes.set_xlabel, axes.xaxis),
        (up, axes.set_yscale, axes.set_ylabel, axes.yaxis),
    ):
        name(axis_title(objective))
        if objective.log:
            scale("log")
            _plain_ticks(axis)
    axes.grid(alpha=0.3)


def _plain_ticks(axis: Any) -> None:
    """Put numbers in full at 1, 2 and 5 times the powers of ten of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _png(figure: Figure) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return png.getvalue()


def _accuracy(record: Mapping[str, Any]) -> float:
    """Return the accuracy of a record, whether it was optimised or measured alone."""
    return float({**record.get("metrics", {}), **record["objectives"]}["accuracy"])


def _draw_row(axes: Axes, scores: list[float], height: int) -> None:
    """Draw one pipeline: its trials as dots, their mean and spread in front of them."""
    axes.scatter(scores, [height] * len(scores), s=10, alpha=0.5, color="#e07b39", label="one run")
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    axes.errorbar(
        statistics.mean(scores),
        height,
        xerr=spread,
        fmt="|",
        markersize=10,
        capsize=3,
        color="#1f4e79",
        label="mean ± sd",
    )


def _runs_words(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    count = f"{low}" if low == high else f"{low} to {high}"
    return f"{count} run{'s' if high > 1 else ''} each"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
