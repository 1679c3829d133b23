"""One model of a run, to export or to load."""

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
"""Makes a torch module of a trial's folder. It is passed in, because results import no torch."""


@dataclass(frozen=True, repr=False)
class Member(MemberRepr):
    """One complete trial of a run, ready to export or to load.

    Attributes:
        number: the trial's number.
        record: the record of the trial, or of its final if one ships.
        path: the folder of that trial or final.
        folder: the run folder.
        loader: the function that `load` calls.
    """

    number: int
    record: TrialRecord
    path: Path
    folder: RunFolder
    loader: Loader | None = None

    def export(self, folder: str | Path, formats: Sequence[str] = tuple(FORMATS)) -> Path:
        """Copy the model, its card and what is needed to use it into a new folder.

        Args:
            folder: must not exist, or be empty.
            formats: ``"onnx"``, ``"torch"`` or both.

        Returns:
            The folder.

        Raises:
            UserError: the folder is not empty, the trial has no model, or an unknown format.
            RunError: a file differs from what the trial wrote.
        """
        return export_member(self.folder, self.number, folder, formats)

    def load(self) -> "nn.Module":
        """Return the model as a torch module in eval mode, read without pickle.

        `slimtune.load_model` says how closely it agrees with model.onnx.

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
            # Refuses a file that is not the one that the trial wrote.
            self.folder.read_artifact(self.record, name, self.path)
        return self.loader(self.path)
