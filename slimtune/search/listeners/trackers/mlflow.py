"""MLflow: one run for each trial, in an experiment with the name of the search's folder.

MLflow's own settings, such as MLFLOW_TRACKING_URI, say where to.
"""

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from slimtune.search.listeners.trackers.protocol import TRACKERS, Tracker, TrackerKind, TrialLog

_STATUS = {"complete": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MLflow:
    """Logs trials through MLflow's client.

    Args:
        folder: the run's; MLFLOW_EXPERIMENT_NAME, if set, names the experiment instead.
    """

    def __init__(self, folder: Path) -> None:
        self._entities: Any = import_module("mlflow.entities")
        self._client: Any = import_module("mlflow.tracking").MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or f"slimtune {folder.absolute().name}"
        experiment = self._client.get_experiment_by_name(name)
        self._experiment = (
            experiment.experiment_id if experiment else self._client.create_experiment(name)
        )

    def log(self, trial: TrialLog) -> None:
        """Log one trial as a finished run."""
        tags = {"mlflow.runName": trial.name, "pipeline": trial.pipeline, "reason": trial.reason}
        run = self._client.create_run(self._experiment, tags={k: v for k, v in tags.items() if v})
        now = int(time.time() * 1000)  # MLflow's unit
        metrics = [self._metric(name, value, now, 0) for name, value in trial.metrics.items()]
        for step, epoch in enumerate(trial.epochs, start=1):
            metrics += [self._metric(f"epoch/{k}", v, now, step) for k, v in epoch.items()]
        params = [self._entities.Param(k, str(v)) for k, v in trial.params.items()]
        self._client.log_batch(run.info.run_id, params=params)
        for start in range(0, len(metrics), 500):  # it takes 1000 at a time
            self._client.log_batch(run.info.run_id, metrics=metrics[start : start + 500])
        self._client.set_terminated(run.info.run_id, status=_STATUS[trial.status])

    def _metric(self, name: str, value: float, time_ms: int, step: int) -> Any:
        return self._entities.Metric(name.replace(" ", "_"), value, time_ms, step)


def open_mlflow(folder: Path) -> Tracker:
    """Return MLflow's tracker of a run."""
    return MLflow(folder)


TRACKERS.register("mlflow")(TrackerKind(open_mlflow, "mlflow", "mlflow"))
