"""`slimtune.compare` and `slimtune.evaluate`: models measured, without a search."""

from __future__ import annotations  # help shows `Data`, not all that it can be

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from slimtune.api.arguments import Data, Model, Weights, to_settings
from slimtune.errors import UserError
from slimtune.results.store.folder import find_run
from slimtune.search.review.compare import compare_models
from slimtune.search.review.evaluate import evaluate_checkpoint, evaluate_file, evaluate_in_run


def compare(
    models: Sequence[str | Path],
    *,
    data: Data | None = None,
    run: str | Path | None = None,
    threads: int = 1,
) -> pd.DataFrame:
    """Count and measure models side by side, as ``slimtune compare`` does.

    Args:
        models: ONNX files, folders that hold a ``model.onnx``, or checkpoints as
            ``"MODEL=FILE"``.
        data: whose test split is used: a reference, or objects as for `search`.
        run: the run whose data and test split are used instead; where neither is given, the
            run that a file lies in. Without any, accuracy is not measured.
        threads: of the runtime.

    Returns:
        One row a model; its columns are the attributes of
        `slimtune.search.review.compare.Compared`.

    Raises:
        UserError: a model or data that cannot be read, or that do not fit each other.
        RunError: the folder is not a run, or its data has changed.
    """
    if data is not None and run is not None:
        raise UserError("give data or run, not both")
    texts = [str(model) for model in models]
    for text in texts:
        to_settings({"model": text.partition("=")[0]})  # code that is named here may run
    reference = to_settings({"data": data}).get("data")
    rows = compare_models(texts, reference, None if run is None else Path(run), threads)
    return pd.DataFrame([asdict(row) for row in rows])


def evaluate(
    file: str | Path | None = None,
    *,
    data: Data | None = None,
    run: str | Path | None = None,
    model: Model | None = None,
    weights: Weights | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Measure an ONNX file or a network, as ``slimtune evaluate`` does.

    Args:
        file: an ONNX file; or ``model``, with ``weights`` unless it is a trained module, and
            ``data``.
        data: whose whole test split is used: a reference, or objects as for `search`.
        run: the run whose splits are used instead; where neither is given, the run that the
            file lies in.
        model: the network, as for `search`.
        weights: its weights, as for `search`.
        threads: of the runtime.

    Returns:
        ``test_accuracy`` and its ``test_standard_error``, ``size_bytes``, ``latency_ms``...

    Raises:
        UserError: what is given cannot be read, does not fit, or is too little.
        RunError: the folder is not a run, or its data has changed.
    """
    if data is not None and run is not None:
        raise UserError("give data or run, not both")
    given = to_settings({"model": model, "weights": weights, "data": data})
    if file is None:
        if not {"model", "weights", "data"} <= given.keys():
            raise UserError("give an ONNX file, or model, weights and data")
        return evaluate_checkpoint(given["model"], given["weights"], given["data"])
    if model is not None or weights is not None:
        raise UserError("give an ONNX file, or model and weights, not both")
    if data is not None:
        return evaluate_file(Path(file), given["data"], threads)
    place = find_run(Path(file)) if run is None else Path(run)
    if place is None:
        raise UserError(f"{file} is in no run folder; give data or run")
    return evaluate_in_run(Path(file), place, threads)
