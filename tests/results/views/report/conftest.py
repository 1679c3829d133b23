"""A run of made-up trials, for reports on what no small search would come to show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimtune.conditions import Conditions
from slimtune.results.run import Run, open_run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

REFERENCE = {"accuracy": 0.0, "size_bytes": 110_000.0, "latency_ms": 1.1}
BASELINE = {"accuracy": 0.95, "size_bytes": 100_000, "latency_ms": 1.0}


def recipe(prune: str = "none", amount: float = 0.5, quantize: str = "none", bits: int = 8) -> Any:
    """Return a recipe as a record holds it, with what these tests vary."""
    pruned = {"method": prune} | ({} if prune == "none" else {"amount": amount})
    return {
        "student": {"model": "baseline", "weights": None},
        "prune": pruned,
        "quantize": {"method": quantize} | ({} if quantize == "none" else {"bits": bits}),
        "distill": {"method": "none"},
        "train": {"epochs": 1, "lr": 0.01},
        "order": "ppq",
    }


def record(number: int, **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "number": number,
        "status": "complete",
        "recipe": recipe(),
        "pipeline": f"pipeline {number}",
        "conditions": Conditions(number),
        "objectives": {"accuracy": 0.9, "size_bytes": 50_000.0, "latency_ms": 0.5},
        "metrics": {
            "accuracy_standard_error": 0.01,
            "latency_rounds": 24,
            "latency_accepted": 18,
            "latency_stable": True,
        },
        "seconds": {"fine-tune": 2.0, "measure": 1.0},
        "host": {"cpu": "a test", "cores": 2},
    }
    return TrialRecord(**{**values, **changes})


MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return what makes a run of some records; ``objectives`` and ``manifest`` may be given."""

    def make(
        records: list[TrialRecord],
        objectives: tuple[str, ...] = ("accuracy", "size_bytes", "latency_ms"),
        name: str = "run",
        **manifest: Any,
    ) -> Run:
        content = {
            "config": {"data": "digits", "model": "resnet8", "teacher": None},
            "objectives": list(objectives),
            "reference_point": {name: REFERENCE[name] for name in objectives},
            "workload": {
                "fingerprint": "f" * 64, "classes": [str(digit) for digit in range(10)],
                "train": 800, "validation": 900, "test": 500,
            },
            "host": {"cpu": "a test", "cores": 2, "platform": "none", "torch": "2.15"},
            **manifest,
        }  # fmt: skip
        folder = RunFolder.create(tmp_path / name, content)
        folder.write_baseline({"objectives": {n: BASELINE[n] for n in objectives}}, {})
        for one in records:
            folder.write_trial(one, {}, {"model.onnx": b"x"} if one.status == "complete" else {})
        return open_run(folder.path)

    return make
