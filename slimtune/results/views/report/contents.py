"""The texts and tables of a report: plain text, which the template escapes."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from slimtune.results.limit_words import limits_words
from slimtune.results.objectives import Objective
from slimtune.results.pareto.caveats import without_loss
from slimtune.results.run import Run
from slimtune.results.stop_reason import group_of
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.status import Status
from slimtune.results.units import (
    MISSING,
    accuracy,
    change,
    duration,
    percent,
    plural,
    quantity,
    spread,
)
from slimtune.results.views.columns import accuracy_on_test, front_columns, objective_cell
from slimtune.results.views.report.attribution import TechniqueGain
from slimtune.results.views.tables import front_rows

_MOST_REASONS = 30


@dataclass(frozen=True)
class Highlight:
    """A member that the report recommends: why, and the command that exports it."""

    title: str
    trial: int
    pipeline: str
    facts: list[str]
    command: str


def summary_line(records: Sequence[TrialRecord], status: Status) -> str:
    """Return how the trials ended, and whether the search is still running."""
    counts = Counter(str(record.status) for record in records)
    kinds = {"complete": "complete", "stopped": "stopped early", "failed": "failed"}
    parts = [
        f"{counts[name]} {word}"
        for name, word in kinds.items()
        if counts[name] or name == "complete"
    ]
    of = f" of {status.total}" if status.total and status.total > len(records) else ""
    state = {
        "running": "the search is still running: this report shows its current state",
        "interrupted": "the search was interrupted before its end",
    }.get(status.state, status.reason)
    return f"{len(records)}{of} trials: {', '.join(parts)}" + (f"; {state}" if state else "")


def highlights(
    run: Run, front: pd.DataFrame, baseline: Mapping[str, float], path: str
) -> list[Highlight]:
    """Return the members that a reader looks for first: the knee, and one that costs nothing."""
    if front.empty:
        return []
    knee = _knee(front)
    choice = "--pick knee" if run.view is None else f"--trial {knee}"
    title = "The knee: nearest to the best of everything"
    chosen = [(title, knee, f"{choice} -o deploy/")]
    same = without_loss(front, baseline, run.manifest["workload"].get("validation"))
    if same and "size_bytes" in front:
        alike = front[front["trial"].isin(same)]
        smallest = int(alike["trial"].iloc[int(alike["size_bytes"].argmin())])
        if smallest != knee:
            title = "The smallest without a measurable loss of accuracy"
            chosen.append((title, smallest, f"--trial {smallest} -o small/"))
    rows = {int(row["trial"]): row for row in front.to_dict("records")}
    return [
        Highlight(
            title,
            number,
            str(rows[number]["pipeline"]),
            _facts(rows[number], run.objectives, baseline),
            f"slimtune export {path} {option}",
        )
        for title, number, option in chosen
    ]


def member_columns(front: pd.DataFrame) -> list[str]:
    """Return the headings of the members' table between the trial and the pipeline."""
    return [column.heading for column in front_columns(front)]


def member_rows(
    run: Run, front: pd.DataFrame, baseline: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return a row a member, the baseline first, with a cell for each of `member_columns`."""
    columns = front_columns(front)
    return [
        {
            "trial": None if row["trial"] == "-" else row["trial"],
            "cells": [column.cell(row).text for column in columns],
            "pipeline": str(row["pipeline"]),
            "knee": row.get("knee") is True,
            "collapsed": row.get("collapsed") is True,
        }
        for row in front_rows(run, front, baseline)
    ]


def technique_rows(
    bought: Sequence[TechniqueGain], objectives: Sequence[Objective]
) -> list[dict[str, Any]]:
    """Return one row per technique, with (change, spread) for each objective."""
    rows = []
    for one in bought:
        cells = []
        for objective in objectives:
            effect = one.effects.get(objective.name)
            cells.append(
                (MISSING, "")
                if effect is None
                else (
                    change(objective, effect.change, effect.ratio),
                    spread(objective, effect.low, effect.high, effect.ratio),
                )
            )
        rows.append(
            {
                "stage": one.stage, "method": one.method, "cells": cells,
                "pairs": one.pairs, "trials": one.trials,
            }
        )  # fmt: skip
    return rows


def reasons(records: Sequence[TrialRecord], status: str) -> list[dict[str, Any]]:
    """Return why trials failed, or were stopped: the commonest reason first, with its trials.

    Stopped ones are together where the same rule stopped them at the same point.
    """
    groups: dict[str, list[int]] = {}
    for record in records:
        if record.status == status:
            reason = record.error or "no reason was recorded"
            reason = group_of(reason) if status == "stopped" else reason
            groups.setdefault(reason, []).append(record.number)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[1]))
    return [
        {"reason": reason, "count": len(numbers), "trials": _numbers(numbers)}
        for reason, numbers in ordered[:_MOST_REASONS]
    ]


def measurement_facts(
    run: Run, records: Sequence[TrialRecord], front: pd.DataFrame
) -> list[tuple[str, str]]:
    """Return how the numbers came about, as (what, in words)."""
    config, workload = run.manifest["config"], run.manifest["workload"]
    host = run.manifest.get("host", {})
    complete = [record for record in records if record.status == "complete"]
    facts = [
        ("model", str(config.get("model", ""))),
        ("data", f"{config.get('data', '')}: {_images(workload)}"),
        ("pixels", str(workload.get("normalisation", ""))),
        ("file", "accuracy, size and latency are of one and the same model.onnx"),
        ("latency", _latency_words(complete, "trial_latency_ms" in front)),
        ("machine", _machine(host)),
        ("versions", _versions(host)),
        ("threads", _threads(records)),
        ("time", _time_words(records)),
        ("started", str(run.manifest.get("created", ""))),
    ]
    others = {str(record.host.get("cpu")) for record in records if record.host} - {
        str(host.get("cpu"))
    }
    if others:
        facts.append(("other machines", f"trials also ran on {', '.join(sorted(others))}"))
    if run.limits:
        facts.append(("limits", f"only trials with {limits_words(run.limits, run.limit_texts)}"))
    return [(name, text) for name, text in facts if text]


def commands(run: Run, path: str, front: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what to type next, as (why, command).

    Args:
        run: the run.
        path: the run folder, quoted for a shell.
        front: from `Run.front`.
    """
    more = 2 * max(1, len(run.records))
    steps = [("see the members within your limits", f"slimtune front {path} --min-accuracy -1%")]
    if len(front):
        number = _knee(front)
        choice = "--pick knee" if run.view is None else f"--trial {number}"
        steps += [
            ("export the knee", f"slimtune export {path} {choice} -o deploy/"),
            (
                "check it: repeat the trial, byte for byte",
                f"slimtune rerun {path} --trial {number} --check",
            ),
        ]
    steps += [
        ("continue with more trials", f"slimtune search --resume {path} --trials {more}"),
        (
            "repeat the whole search, from the settings below",
            "slimtune search -c search.yaml --out NEW",
        ),
    ]
    return steps


def settings_yaml(run: Run) -> str:
    """Return the run's settings as the YAML that a search takes."""
    given = _without_none(run.manifest["config"])
    return yaml.safe_dump(given, sort_keys=False, allow_unicode=True)


def _knee(front: pd.DataFrame) -> int:
    return int(front["trial"].iloc[int(front["knee"].argmax())])


def shell_path(run: Run) -> str:
    """Return the run folder as it is typed in a shell."""
    return shlex.quote(str(run.path))


def _facts(
    row: Mapping[Any, Any], objectives: Sequence[Objective], baseline: Mapping[str, float]
) -> list[str]:
    facts = []
    for objective in objectives:
        cell = objective_cell(row, objective)
        text = f"{objective.title} {cell.text_with_unit}"
        if not cell.ratio and objective.name in baseline:
            text += f", baseline {quantity(objective, baseline[objective.name])}"
        facts.append(text)
    if test := accuracy_on_test(row).text_with_unit:
        text = f"on test images {test}"
        if "test_accuracy" in baseline:
            text += f", baseline {accuracy(baseline['test_accuracy'])}"
        facts.insert(1, text)
    return facts


def _numbers(numbers: Sequence[int], most: int = 12) -> str:
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more


def _images(workload: Mapping[str, Any]) -> str:
    counts = [
        f"{name} {workload[name]}" for name in ("train", "validation", "test") if name in workload
    ]
    source = workload.get("validation_source")
    classes = f"{len(workload['classes'])} classes, " if workload.get("classes") else ""
    whence = "is a part of its own" if source == "val" else f"cut from {source}"
    cut = f" (validation {whence})" if source else ""
    return f"{classes}images: {', '.join(counts)}{cut}" if counts else classes


def _latency_words(complete: Sequence[TrialRecord], together: bool) -> str:
    rounds = sum(int(r.metrics.get("latency_rounds") or 0) for r in complete)
    accepted = sum(int(r.metrics.get("latency_accepted") or 0) for r in complete)
    unstable = sum(r.metrics.get("latency_stable") is False for r in complete)
    if not rounds:
        return ""
    text = (
        "one image at a time on one thread, the fastest run among rounds in which a fixed probe "
        f"says that the machine was at full speed: {accepted} of {rounds} rounds "
        f"({percent(accepted / rounds)}) counted"
    )
    text += f", too few in {unstable} trials" if unstable else ""
    if together:
        text += (
            "; the front and the baseline were measured again together when no trial ran, other "
            "trials show what they measured themselves"
        )
    return text


def _machine(host: Mapping[str, Any]) -> str:
    parts = [str(host[name]) for name in ("cpu", "platform") if name in host]
    return ", ".join([*parts, *([f"{host['cores']} cores"] if "cores" in host else [])])


def _versions(host: Mapping[str, Any]) -> str:
    skipped = ("cpu", "cores", "platform")
    return ", ".join(f"{name} {value}" for name, value in host.items() if name not in skipped)


def _threads(records: Sequence[TrialRecord]) -> str:
    kinds = Counter((record.conditions.threads, record.conditions.device) for record in records)
    return ", ".join(
        f"{plural(count, 'trial')} with {plural(threads, 'thread')} on {device}"
        for (threads, device), count in kinds.items()
    )


def _time_words(records: Sequence[TrialRecord]) -> str:
    stages: Counter[str] = Counter()
    for record in records:
        stages.update(record.seconds)
    if not stages:
        return ""
    parts = ", ".join(f"{name} {duration(spent / len(records))}" for name, spent in stages.items())
    total = duration(sum(stages.values()))
    return f"{total} of work in all trials; a trial on average: {parts}"


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list | tuple) else value
