"""Whether a run is still running: its writer's last status, and whether that process lives.

``status.json`` is only for those who watch a search from outside. No search reads it, and a run
without it, or with a damaged one, is complete.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from slimtune.errors import RunError, SlimtuneError
from slimtune.results.store.files import atomic_write, read_json, to_json
from slimtune.results.store.lock import holder_of

NAME = "status.json"
_CAP = 2**20

State = Literal["preparing", "running", "finished", "interrupted"]


@dataclass(frozen=True)
class TrialStatus:
    """A running trial.

    Attributes:
        number: of the trial.
        pipeline: in a few words.
        stage: its current stage, such as ``"fine-tune"``; empty until it reports one.
        since: when it began, seconds since 1970.
    """

    number: int
    pipeline: str
    stage: str
    since: Annotated[float, Field(ge=0, le=1e11)]


@dataclass(frozen=True)
class Status:
    """The status of a run.

    Attributes:
        state: "preparing" before there is a baseline; "interrupted" if trials are left and no
            process writes.
        total: number of trials planned; None if unknown.
        running: the running trials; empty unless the state is "running".
        reason: why the search stopped before its last trial, if it did.
        holder: the process that writes, such as ``"process 42 on host"``.
        begun: when its trials began, seconds since 1970; None in runs of older versions.
        before: trials that were finished by then.
    """

    state: State
    total: int | None = None
    running: tuple[TrialStatus, ...] = ()
    reason: str = ""
    holder: str = ""
    begun: float | None = None
    before: int = 0


@dataclass(frozen=True)
class _StatusFile:
    """The content of status.json."""

    finished: bool = False
    total: int | None = None
    reason: str = ""
    running: tuple[TrialStatus, ...] = ()
    begun: float | None = None
    before: int = 0


_ADAPTER: TypeAdapter[_StatusFile] = TypeAdapter(_StatusFile)


def write_status(
    run: Path,
    *,
    total: int | None,
    running: Sequence[TrialStatus] = (),
    finished: bool = False,
    reason: str = "",
    begun: float | None = None,
    before: int = 0,
) -> None:
    """Write status.json; a disk that refuses is no reason to stop a search.

    Args:
        run: the run folder.
        total: trials that there shall be.
        running: trials at work.
        finished: whether the search came to its end.
        reason: why it stopped before its last trial.
        begun: when this process began with trials, seconds since 1970.
        before: trials that were finished by then.
    """
    said = _StatusFile(finished, total, reason, tuple(running), begun, before)
    with suppress(SlimtuneError):
        atomic_write(run / NAME, to_json(_ADAPTER.dump_python(said, mode="json")))


def read_status(run: Path) -> Status:
    """Return the status of a run, without changing anything in it.

    Raises:
        RunError: it is not a run, nor the beginning of one.
    """
    holder = holder_of(run)
    if not (run / "run.json").is_file():
        if holder is None:
            raise RunError(f"{str(run)!r} is not a slimtune run (no run.json)")
        return Status("preparing", holder=holder)
    said = _read_file(run)
    if holder is not None and not said.finished:
        return Status(
            "running", said.total, said.running, "", holder, begun=said.begun, before=said.before
        )
    # Before there was a status.json, a run was finished when its front had been measured.
    older = not (run / NAME).exists() and (run / "front" / "front.json").is_file()
    state: State = "finished" if said.finished or older else "interrupted"
    return Status(state, said.total, reason=said.reason)


def _read_file(run: Path) -> _StatusFile:
    if not (run / NAME).is_file():
        return _StatusFile()
    try:
        return _ADAPTER.validate_python(read_json(run / NAME, _CAP))
    except (RunError, ValidationError):
        return _StatusFile()
