"""Scores from the logits of a file: accuracy, and metrics of the user's own."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slimtune.errors import ConfigError, NonFiniteError, shortened
from slimtune.measurement.accuracy import (
    accuracy,
    balanced_accuracy,
    class_shares,
)
from slimtune.measurement.runtime import predict
from slimtune.results.class_scores import class_scores
from slimtune.results.interval import balanced_error, standard_error
from slimtune.results.objectives import is_number, metric_code, objective
from slimtune.workload.own_code import load_code
from slimtune.workload.types import Workload

Metric = Callable[[np.ndarray, np.ndarray], Any]
"""From logits, float32 (n, classes), and labels, int64 (n,), to a number."""


def names_of(objectives: Sequence[str]) -> tuple[str, ...]:
    """Return the names of objectives in records: ``FILE.py:f1:maximize`` is ``f1:maximize``."""
    return tuple(objective(text).name for text in objectives)


def own_metrics(objectives: Sequence[str]) -> dict[str, Metric]:
    """Return the user's metrics among the objectives, by their name in records.

    Raises:
        ConfigError: one cannot be loaded, is no function, or is code that is not allowed to run.
    """
    metrics: dict[str, Metric] = {}
    for text in objectives:
        name, code = objective(text).name, metric_code(text)
        if code is None and ":" in text:
            raise ConfigError(f"objectives: {text} names no code; write FILE.py:{text}")
        if code is not None:
            metrics[name] = load_code(code)
            if not callable(metrics[name]):
                raise ConfigError(f"objectives: {code} must be a function of (logits, labels)")
    return metrics


def scores(logits: np.ndarray, labels: np.ndarray, objectives: Sequence[str]) -> dict[str, float]:
    """Return every quantity that follows from logits, by its name in records.

    Args:
        logits: float32, (n, classes).
        labels: int64, (n,).
        objectives: of the search; its metrics of the user's own are computed as well.

    Raises:
        ConfigError: a metric cannot be loaded or fails.
        NonFiniteError: a metric gives no finite number.
    """
    score = accuracy(logits, labels)
    own = {name: _value(m, name, logits, labels) for name, m in own_metrics(objectives).items()}
    return {
        "accuracy": score,
        "accuracy_standard_error": standard_error(score, len(labels)),
        "balanced_accuracy": balanced_accuracy(logits, labels),
        "balanced_accuracy_standard_error": balanced_error(class_shares(logits, labels)),
        **own,
    }


def check_metrics(objectives: Sequence[str], labels: np.ndarray, classes: int) -> None:
    """Call each of the user's metrics once, with random logits, before a search.

    Args:
        objectives: of the search.
        labels: of the validation images.
        classes: how many there are.

    Raises:
        ConfigError: one cannot be loaded, fails, or gives no finite number.
    """
    logits = np.random.default_rng(0).standard_normal((len(labels), classes))
    for name, metric in own_metrics(objectives).items():
        try:
            _value(metric, name, logits.astype(np.float32), labels)
        except NonFiniteError as error:
            raise ConfigError(f"objectives: {error}") from None


def _value(metric: Metric, name: str, logits: np.ndarray, labels: np.ndarray) -> float:
    try:
        value = metric(logits.copy(), labels.copy())
    except (Exception, SystemExit) as error:  # the user's own
        words = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"objectives: {name} raised {type(error).__name__}: {words}; it is called with logits "
            f"{logits.shape} and labels {labels.shape}"
        ) from error
    value = value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
    if not is_number(value) or not math.isfinite(value):
        raise NonFiniteError(f"{name} must return a finite number, but got {shortened(value)}")
    return float(value)


def accuracy_on_test(workload: Workload, file: bytes | Path) -> dict[str, Any]:
    """Return ``test_accuracy`` of a file, 0..1, and its ``test_standard_error``."""
    facts = facts_on_test(workload, file)
    return {name: facts[name] for name in ("test_accuracy", "test_standard_error")}


def facts_on_test(workload: Workload, file: bytes | Path) -> dict[str, Any]:
    """Return the fields of a `JointRow` that come from the test split."""
    logits = predict(file, workload.test.images, mean=workload.mean, std=workload.std)
    score = accuracy(logits, workload.test.labels)
    return {
        "test_accuracy": score,
        "test_standard_error": standard_error(score, len(workload.test)),
        "test_classes": class_scores(logits.argmax(axis=1), workload.test.labels),
    }
