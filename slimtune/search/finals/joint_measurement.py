"""The joint measurement: all files of the front together, when no trial runs, and on test."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slimtune.measurement.latency import Latency
from slimtune.results.run import open_run
from slimtune.results.store.finals import FinalKey, folder_of
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.integrity import check_stored_network, model_fault
from slimtune.results.store.joint import JointRow, read_joint, write_joint
from slimtune.results.store.record import TrialRecord
from slimtune.search.executors.latency_lane import measure_on_reference_host
from slimtune.search.trial.scores import facts_on_test
from slimtune.workload.types import Workload

FRONT_LATENCY_SECONDS, MOST_LATENCY_SECONDS = 3.0, 30.0
"""Seconds of the joint measurement; the second applies on a busy host, where rounds are lost."""

FinalRecords = Mapping[FinalKey, TrialRecord]
"""The finals of one length, complete and failed ones."""


def measure_front(
    folder: RunFolder, workload: Workload, warn: Callable[[str], None] = lambda text: None
) -> None:
    """Measure the latency of all that may be on the front, then the test accuracy of the front.

    The latencies that trials measured are noisy, so every trial that could be on the front within
    that noise is measured (`Run.contenders`). If the file of a candidate was deleted, it keeps
    its recorded test accuracy, and the whole front is ranked by the latencies that the trials
    measured: latencies of two different measurements cannot be compared.

    Args:
        folder: whose lock this process holds.
        workload: of the run.
        warn: called for trials without a file, and for unstable latencies.
    """
    files, missing = _files(folder)
    for number, why in missing.items():
        warn(
            f"trial {number}: {why}: it is left out of the joint measurement and "
            f"keeps its recorded numbers; slimtune rerun {folder.path} --trial {number} --check "
            "shows whether it can be repeated"
        )
    rows = _together(folder, workload, files)
    run = open_run(folder.path)
    run = run.at(run.records)
    standing = run.standing(rows)
    _tell_unstable([row for row in rows if row.trial is None or row.trial in standing], warn)
    tested = {record.number for record in run.candidates()} | set(standing)
    rows = [
        replace(row, **facts_on_test(workload, _file_of(folder, row)))
        if row.trial is None or row.trial in tested
        else row
        for row in rows
    ]
    write_joint(folder.path, rows + _recorded(folder, list(missing)))


def _tell_unstable(rows: Sequence[JointRow], warn: Callable[[str], None]) -> None:
    """Warn of latencies that are unstable because the host was busy."""
    names = [
        "the baseline" if r.trial is None else f"trial {r.trial}" for r in rows if not r.stable
    ]
    if names:
        warn(
            f"the host was too busy for a stable latency of {', '.join(names)}: it is marked ~, "
            "may be too high, and breaks no limit; to measure again, run search --resume when the "
            "host is quiet"
        )


def members_by_joint_latency(folder: RunFolder, workload: Workload) -> list[int]:
    """Return the trials that are on the front by latencies that were measured together.

    A trial that only a lucky latency put on the front is not worth a training at full length.
    Nothing is written, and no test image is used.
    """
    run = open_run(folder.path)
    files, _ = _files(folder)  # if a file is gone, the latencies that the trials measured decide
    return run.standing(_together(folder, workload, files))


def measure_finals(folder: RunFolder, workload: Workload, finals: FinalRecords) -> None:
    """Measure the finals: all of them on the test split, and the latencies of those that ship.

    Of each member, one final ships: the median by validation accuracy (`median_final`).

    Args:
        folder: whose lock this process holds.
        workload: of the run.
        finals: of the length that was asked for, complete and failed ones.
    """
    members = {key.trial: _complete_of(key.trial, finals) for key in sorted(finals)}
    chosen = {trial: median_final(keys, finals) for trial, keys in members.items() if keys}
    files = {trial: folder_of(folder, key) / "model.onnx" for trial, key in chosen.items()}
    base, *latencies = _latencies(folder, workload, list(files.values()))
    rows = [_row(workload, _baseline(folder), base, None)]
    for trial, latency in zip(files, latencies, strict=True):
        tested = {
            key: facts_on_test(workload, folder_of(folder, key) / "model.onnx")
            for key in members[trial]
        }
        row = JointRow(
            trial=trial,
            latency_ms=latency.ms,
            stable=latency.stable,
            final=chosen[trial].name,
            repeats=len(tested),
            **tested[chosen[trial]],
            **_spread("accuracy", [_accuracy(finals[key]) for key in tested]),
            **_spread("test_accuracy", [score["test_accuracy"] for score in tested.values()]),
        )
        rows.append(row)
    rows += [JointRow(trial=trial, repeats=0) for trial, keys in members.items() if not keys]
    write_joint(folder.path, rows)


def median_final(keys: Sequence[FinalKey], finals: FinalRecords) -> FinalKey:
    """Return which of a member's finals is delivered: the median by validation accuracy.

    Of an even number it is the lower of the two in the middle, and the first of equals. The best
    one would owe its accuracy partly to its selection, and the test split must not choose.

    Args:
        keys: complete finals, at least one.
        finals: their records.
    """
    ranked = sorted(keys, key=lambda key: (_accuracy(finals[key]), key))
    return ranked[(len(ranked) - 1) // 2]


def _files(folder: RunFolder) -> tuple[dict[int, Path], dict[int, str]]:
    """Return the files of the contenders by trial, and for candidates without one the reason."""
    run = open_run(folder.path)
    run = run.at(run.records)
    candidates, contenders = {record.number for record in run.candidates()}, run.contenders()
    places = {record.number: folder.trial_path(record.number) for record in contenders}
    missing = {r.number: why for r in contenders if (why := model_fault(r, places[r.number]))}
    files = {n: place / "model.onnx" for n, place in places.items() if n not in missing}
    return files, {n: why for n, why in missing.items() if n in candidates}


def _together(folder: RunFolder, workload: Workload, files: Mapping[int, Path]) -> list[JointRow]:
    """Return rows with the latencies of the baseline and the files, measured in turn."""
    latencies = _latencies(folder, workload, list(files.values()))
    return [
        JointRow(trial=number, latency_ms=latency.ms, stable=latency.stable)
        for number, latency in zip([None, *files], latencies, strict=True)
    ]


def _recorded(folder: RunFolder, numbers: Sequence[int]) -> list[JointRow]:
    """Return the rows of trials from an earlier measurement, without their latencies."""
    rows = {row.trial: row for row in read_joint(folder.path) if row.repeats is None}
    return [replace(rows[n], latency_ms=None, stable=True) for n in numbers if n in rows]


def _file_of(folder: RunFolder, row: JointRow) -> Path:
    if row.trial is None:
        return _baseline(folder)
    return folder_of(folder, row.trial) / "model.onnx"


def _baseline(folder: RunFolder) -> Path:
    return folder.path / "baseline" / "model.onnx"


def _latencies(folder: RunFolder, workload: Workload, files: Sequence[Path]) -> list[Latency]:
    """Return the latencies of the baseline and the files, measured in turn."""
    check_stored_network(folder.path, "baseline", ("model.onnx",))
    return measure_on_reference_host(
        [_baseline(folder), *files],
        image_shape=workload.image_shape,
        seconds=FRONT_LATENCY_SECONDS,
        most_seconds=MOST_LATENCY_SECONDS,
    )


def _row(workload: Workload, file: Path, latency: Latency, trial: int | None) -> JointRow:
    return JointRow(
        trial=trial, latency_ms=latency.ms, stable=latency.stable, **facts_on_test(workload, file)
    )


def _complete_of(trial: int, finals: FinalRecords) -> list[FinalKey]:
    return [key for key in sorted(finals) if key.trial == trial and _complete(finals[key])]


def _complete(record: TrialRecord) -> bool:
    return record.status == "complete"


def _accuracy(record: TrialRecord) -> float:
    """Return the validation accuracy, whether it is an objective or a metric."""
    return float(record.measured["accuracy"])  # type: ignore[arg-type]


def _spread(name: str, scores: Sequence[float]) -> dict[str, Any]:
    deviation = statistics.stdev(scores) if len(scores) > 1 else None
    return {f"{name}_mean": statistics.fmean(scores), f"{name}_sd": deviation}
