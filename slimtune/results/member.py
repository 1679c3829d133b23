"""One model of a run, to be taken away or to be loaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimtune.errors import UserError
from slimtune.results.delivery.delivery import FORMATS, export_member
from slimtune.results.reprs import MemberRepr
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

if TYPE_CHECKING:
    from torch import nn

Loader = Callable[[Path], "nn.Module"]
"""Makes a torch module of a trial's folder; handed in, for results know no torch."""


@dataclass(frozen=True, repr=False)
class Member(MemberRepr):
    """One complete trial of a run, ready to be taken away.

    Attributes:
        number: of the trial.
        record: what was asked and measured; of its final, where one ships.
        path: the folder of the one or the other.
        folder: the run it belongs to.
        loader: of `load`.
    """

    number: int
    record: TrialRecord
    path: Path
    folder: RunFolder
    loader: Loader | None = None

    def export(self, folder: str | Path, formats: Sequence[str] = tuple(FORMATS)) -> Path:
        """Copy the model and what belongs to it into a new folder; see `export_member`.

        Raises:
            UserError: the folder is taken, the trial has no model, or an unknown format.
            RunError: a file differs from what the trial wrote.
        """
        return export_member(self.folder, self.number, folder, formats)

    def load(self) -> "nn.Module":
        """Return the model as a torch module in eval mode, read without pickle.

        See `slimtune.load_model` for how near it comes to model.onnx.

        Raises:
            UserError: the trial has no weights, or the run was opened without a loader.
            RunError: a file differs from what the trial wrote.
        """
        if self.loader is None:
            raise UserError(
                "this run was opened without torch; open it with "
                "slimtune.open_run, or load the folder with slimtune.load_model"
            )
        for name in FORMATS["torch"]:
            self.folder.read_artifact(
                self.record, name, self.path
            )  # refuses what is not the trial's
        return self.loader(self.path)
