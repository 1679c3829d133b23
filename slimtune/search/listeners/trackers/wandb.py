"""Weights & Biases: one run for each trial, grouped by the search's folder.

Its own settings, such as WANDB_PROJECT, WANDB_MODE=offline and WANDB_DIR, say where to.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from slimtune.search.listeners.trackers.protocol import TRACKERS, Tracker, TrackerKind, TrialLog


class WeightsAndBiases:
    """Logs trials as runs of the project WANDB_PROJECT, or slimtune.

    Args:
        folder: the run's; its name is the group.
    """

    def __init__(self, folder: Path) -> None:
        self._wandb: Any = import_module("wandb")
        self._group = folder.absolute().name

    def log(self, trial: TrialLog) -> None:
        """Log one trial as a finished run."""
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "slimtune"),
            group=self._group,
            name=trial.name,
            config=dict(trial.params),
            notes=trial.pipeline,
            tags=[trial.status],
            reinit="create_new",
            settings=self._wandb.Settings(silent=True, console="off"),
        )
        for epoch in trial.epochs:
            run.log({f"epoch/{name}": value for name, value in epoch.items()})
        run.summary.update({**trial.metrics, "reason": trial.reason})
        run.finish(exit_code=int(trial.status == "failed"))


def open_wandb(folder: Path) -> Tracker:
    """Return the tracker of a run."""
    return WeightsAndBiases(folder)


TRACKERS.register("wandb")(TrackerKind(open_wandb, "wandb", "wandb"))
