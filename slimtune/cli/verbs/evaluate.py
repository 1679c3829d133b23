"""``slimtune evaluate``: measure accuracy, size and latency of an ONNX file or a checkpoint."""

import json
from pathlib import Path
from typing import Any

import click

from slimtune.cli.config.consent import consent_to
from slimtune.cli.screen import phrases
from slimtune.cli.screen.terminal import echo
from slimtune.results.store.folder import find_run
from slimtune.results.units import UNSTABLE, accuracy, count, latency, plural
from slimtune.search.review.evaluate import evaluate_checkpoint, evaluate_file, evaluate_in_run


def carry_out(
    *,
    file: Path | None,
    data: str | None,
    run: Path | None,
    model: str | None,
    weights: str | None,
    threads: int,
    style: str,
) -> None:
    """Measure a file or a checkpoint and print the numbers."""
    consent_to({"model": model or "", "data": data or ""})
    if file is None:
        result = _checkpoint(model, weights, data, run)
    elif model is not None or weights is not None:
        raise click.UsageError("Give an ONNX file, or --model with --weights, not both.")
    else:
        result = _file(file, data, run, threads)
    echo(json.dumps(result, indent=2) if style == "json" else phrases.encodable(_text(result)))


def _checkpoint(
    model: str | None, weights: str | None, data: str | None, run: Path | None
) -> dict[str, Any]:
    if model is None or weights is None or data is None or run is not None:
        raise click.UsageError("Give an ONNX file, or --model, --weights and --data.")
    return evaluate_checkpoint(model, weights, data)


def _file(file: Path, data: str | None, run: Path | None, threads: int) -> dict[str, Any]:
    if data is not None and run is not None:
        raise click.UsageError("Give --data or --run, not both.")
    if data is not None:
        return evaluate_file(file, data, threads)
    run = run if run is not None else find_run(file)
    if run is None:
        raise click.UsageError(f"{file} is in no run folder; give --data or --run.")
    return evaluate_in_run(file, run, threads)


def _text(result: dict[str, Any]) -> str:
    """Return one line per measurement, the accuracies first."""
    lines = []
    for split in ("validation", "test"):
        if f"{split}_accuracy" in result:
            text = accuracy(
                result[f"{split}_accuracy"],
                result[f"{split}_standard_error"],
                result[f"{split}_images"],
            )
            lines.append(f"{split} accuracy {text}")
    if "normalisation" in result:
        lines.append(f"pixels normalised by {result['normalisation']}")
    lines.append(phrases.measurement("size_bytes", result["size_bytes"]))
    if "latency_ms" in result:
        text = latency(result["latency_ms"], result["latency_stable"])
        batch, threads = result["latency_batch"], plural(result["threads"], "thread")
        lines.append(f"latency {text}, batch {batch}, {threads}")
        lines += [] if result["latency_stable"] else [UNSTABLE]
    if "params" in result:
        lines.append(f"params {count(result['params'])}")
    return "\n".join([*lines, *phrases.notes(result.get("notes", ()))])
