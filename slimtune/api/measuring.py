"""`slimtune.compare` and `slimtune.evaluate`: measure models without a search."""

from __future__ import annotations  # help() then shows `Data`, not its long definition

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
    """Measure models side by side, as ``slimtune compare`` does.

    Give ``data`` or ``run``, or neither: then the run that contains one of the files is used.
    Without any data, accuracy is not measured.

    Args:
        models: ONNX files, folders that hold a ``model.onnx``, or checkpoints as
            ``"MODEL=FILE"``.
        data: data whose test split is used: a reference, or objects as for `search`.
        run: run folder whose data and test split are used.
        threads: threads of the runtime, at least 1.

    Returns:
        One row per model. The columns are the attributes of
        `slimtune.search.review.compare.Compared`.

    Raises:
        UserError: a model or the data cannot be read, or they do not fit each other.
        RunError: the folder is not a run, or its data has changed.
    """
    if data is not None and run is not None:
        raise UserError("give data or run, not both")
    texts = [str(model) for model in models]
    for text in texts:
        to_settings({"model": text.partition("=")[0]})  # the call is the consent to run code
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

    Give a file; or ``model`` and ``data``, with ``weights`` unless ``model`` is a trained module.

    Args:
        file: an ONNX file.
        data: data whose whole test split is used: a reference, or objects as for `search`.
        run: run folder whose splits are used instead. Default for a file without ``data``: the
            run that contains it.
        model: the network, as for `search`.
        weights: its weights, as for `search`.
        threads: threads of the runtime, at least 1.

    Returns:
        ``test_accuracy`` and its ``test_standard_error``, ``size_bytes``, ``latency_ms``...

    Raises:
        UserError: an argument is missing, cannot be read, or does not fit the others.
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
