"""Writes outcomes as trial folders; a disk that stays full ends the search after a few trials."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from slimtune.errors import DiskFullError, TrialError
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord, clean_record
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import failed_outcome

Write = Callable[[TrialRecord, Mapping[str, Any], Mapping[str, bytes]], object]
"""Write a record with its spec and files, as `RunFolder.write_trial` does."""

ENOUGH = 3
"""So many trials in a row without room on the disk end the search: the next would most likely
be lost too."""


class Recorder:
    """Writes the outcomes of trials into the run folder.

    Args:
        folder: whose lock this process holds.
        write: writes one record; `RunFolder.write_trial` if not given.
    """

    def __init__(self, folder: RunFolder, write: Write | None = None) -> None:
        self._folder = folder
        self._write = write or folder.write_trial
        self._unwritten = 0

    def record(self, spec: TrialSpec, outcome: Outcome) -> Outcome:
        """Write an outcome, and return it as it was written.

        A trial whose files do not fit on the disk is recorded as failed, without them.

        Raises:
            DiskFullError: not even the failure fits (the trial is then run again by a resume),
                or `ENOUGH` trials in a row did not.
        """
        if outcome.payload is None:  # the process died, and only the reason is known
            trace = outcome.files.get("error.txt", b"").decode()
            outcome = failed_outcome(spec, TrialError(outcome.reason), trace=trace)
        outcome = self._checked(outcome)
        # The trial may have run with another device or other threads than the spec had planned.
        conditions = outcome.payload.conditions
        spec = spec.moved(conditions.device, conditions.threads)
        if outcome.status == "stopped":  # the trial itself does not know why
            record = dataclasses.replace(outcome.payload, error=outcome.reason)
            outcome = dataclasses.replace(outcome, payload=record)
        try:
            self._write(outcome.payload, spec.to_dict(), outcome.files)
            self._unwritten = 0
        except DiskFullError as error:
            self._unwritten += 1
            if self._unwritten == ENOUGH:
                raise DiskFullError(f"{ENOUGH} trials in a row; the last: {error}") from None
            outcome = failed_outcome(spec, error)
            self._write(outcome.payload, spec.to_dict(), outcome.files)
        return outcome

    def _checked(self, outcome: Outcome) -> Outcome:
        """Return the outcome as failed if an objective is missing, or out of its range."""
        record = clean_record(outcome.payload, self._folder.manifest["objectives"])
        if record.status == outcome.status:
            return outcome
        reason = record.error or ""
        return Outcome(outcome.number, "failed", record.objectives, record, outcome.files, reason)
