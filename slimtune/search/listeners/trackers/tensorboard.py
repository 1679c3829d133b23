"""TensorBoard: one folder of events for each trial, in the run folder."""

from importlib import import_module
from pathlib import Path
from typing import Any

from slimtune.search.listeners.trackers.protocol import TRACKERS, Tracker, TrackerKind, TrialLog

FOLDER = "tensorboard"


class TensorBoard:
    """Writes ``tensorboard/trial-0017/`` with scalars, epochs and hyper-parameters.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._writer: Any = import_module("tensorboardX").SummaryWriter

    def log(self, trial: TrialLog) -> None:
        """Write the events of one trial."""
        # add_hparams opens another file; without the suffix it could get the name of this one.
        folder = str(self._folder / trial.name)
        with self._writer(folder, filename_suffix=".trial") as writer:
            writer.add_text("pipeline", trial.pipeline)
            writer.add_text("status", f"{trial.status} {trial.reason}".rstrip())
            for step, epoch in enumerate(trial.epochs, start=1):
                for name, value in epoch.items():
                    writer.add_scalar(f"epoch/{name}", value, step)
            # name: its folder, below this one; without it, the folder is named by the time
            writer.add_hparams(dict(trial.params), dict(trial.metrics), name=".", global_step=0)


def open_tensorboard(folder: Path) -> Tracker:
    """Return TensorBoard's tracker of a run."""
    return TensorBoard(folder)


TRACKERS.register("tensorboard")(TrackerKind(open_tensorboard, "tensorboardX", "tensorboardX"))
