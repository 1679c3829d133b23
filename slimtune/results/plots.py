"""Figures, as PNG. The only door to matplotlib."""

import io
import statistics
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slimtune.errors import UserError
from slimtune.results.run import Run
from slimtune.results.summary import repeats

_INCHES_A_ROW = 0.32


def spread_figure(run: Run) -> bytes:
    """Return a PNG: every pipeline's validation accuracy, mean and spread over its seeds.

    One line a pipeline, the most accurate on top: a dot for each trial, the mean as a bar mark
    with the sample standard deviation to both sides, the baseline as a dashed line.

    Raises:
        UserError: the run has no complete trial.
        RunError: a record is damaged.
    """
    pipelines = repeats(run)
    groups = [[_accuracy(r.to_dict()) for r in records] for records in pipelines]
    labels = [_short(records[0].pipeline) for records in pipelines]
    if not groups:
        raise UserError(f"{run.path}: has no complete trial to draw; let the search go on")
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
