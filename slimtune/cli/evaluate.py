"""``slimtune evaluate``: accuracy, size and latency of any ONNX file or checkpoint."""

import json
from pathlib import Path
from typing import Any

import click

from slimtune.cli import words
from slimtune.cli.consent import allow_code_option, consent_to
from slimtune.search.evaluate import evaluate_checkpoint, evaluate_file, evaluate_in_run
from slimtune.search.rerun import find_run

EPILOG = "Example: slimtune evaluate deploy/model.onnx --data digits"


@click.command("evaluate", epilog=EPILOG)
@click.argument("file", type=Path, required=False, metavar="[MODEL.onnx]")
@click.option("--data", metavar="REF", help="digits, folder:DIR, npz:FILE, FILE.py:NAME...")
@click.option("--run", type=Path, metavar="RUN", help="Use the data and the splits of this run.")
@click.option("--model", metavar="REF", help="Evaluate a checkpoint of this network instead.")
@click.option("--weights", metavar="FILE", help="The checkpoint, with --model.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, metavar="N", help="Of the runtime."
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Lines for people, or one JSON object.",
)
@allow_code_option
def command(
    file: Path | None,
    data: str | None,
    run: Path | None,
    model: str | None,
    weights: str | None,
    threads: int,
    style: str,
) -> None:
    """Measure an ONNX file, ours or another's, or a checkpoint on a test set.

    A file inside a run folder is measured on that run's splits if neither --data nor --run is
    given.
    """
    consent_to({"model": model or "", "data": data or ""})
    if file is None:
        result = _checkpoint(model, weights, data, run)
    elif model is not None or weights is not None:
        raise click.UsageError("Give an ONNX file, or --model with --weights, not both.")
    else:
        result = _file(file, data, run, threads)
    click.echo(json.dumps(result, indent=2) if style == "json" else words.encodable(_text(result)))


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
        raise click.UsageError(f"{file} lies in no run folder; give --data or --run.")
    return evaluate_in_run(file, run, threads)


def _text(result: dict[str, Any]) -> str:
    """Return one line a measurement; the accuracies first."""
    lines = []
    for split in ("validation", "test"):
        if f"{split}_accuracy" in result:
            told = words.accuracy(
                result[f"{split}_accuracy"],
                result[f"{split}_standard_error"],
                result[f"{split}_images"],
            )
            lines.append(f"{split} accuracy {told}")
    lines.append(words.objective("size_bytes", result["size_bytes"]))
    if "latency_ms" in result:
        told = words.latency(result["latency_ms"], result["latency_stable"])
        threads = result["threads"]
        lines.append(f"latency {told}, batch 1, {threads} thread{'s' if threads > 1 else ''}")
    if "params" in result:
        lines.append(f"params {words.count(result['params'])}")
    return "\n".join(lines)
