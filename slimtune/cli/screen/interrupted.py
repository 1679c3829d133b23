"""Interrupts of the command line: signals, the exit, and the line that says how to continue."""

import os
import shlex
import signal
import threading
from pathlib import Path

from slimtune.cli.screen.phrases import program
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.errors import RunError
from slimtune.results.store.files import read_json
from slimtune.search.listeners.events import Event, Listener, Stuck
from slimtune.search.listeners.last_words import hush

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def let_sigterm_interrupt() -> None:
    """Let SIGTERM end this program as Ctrl-C does, also before and after a search."""
    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def leave_at_once() -> None:
    """Let any further signal end this program at once, with the exit code of the first.

    Only the last line is left to print, and Python itself takes a second or more to end.
    """
    for number in SIGNALS if threading.current_thread() is threading.main_thread() else ():
        signal.signal(number, lambda *_: os._exit(INTERRUPTED))


def interrupted_line(state: State) -> str:
    """Return what is kept and the command that continues; only a search has either."""
    if state.run is None:
        return "interrupted"
    if (state.run / "run.json").is_file():
        return f"interrupted; finished trials are kept; continue with: {resume_command(state.run)}"
    return "interrupted; nothing was written"


def resume_command(run: Path) -> str:
    """Return the command that resumes a run, with --allow-code if it names code or a cluster."""
    command = f"{program()} search --resume {shlex.quote(str(run))}"
    return f"{command} --allow-code" if _needs_consent(run) else command


def _needs_consent(run: Path) -> bool:
    """Return whether run.json names code or a cluster, without importing torch to ask for it."""
    try:
        manifest = read_json(run / "run.json")
        settings = manifest.get("config", {})
        joins = settings.get("ray_address") is not None and settings.get("executor") != "inline"
        return joins or bool(manifest["workload"]["code"])
    except (RunError, KeyError, TypeError, AttributeError):  # the line must be printed anyway
        return False


def leave_when_stuck(state: State, listener: Listener) -> Listener:
    """Return a listener that ends the process if the search is stuck in an interrupt.

    Nothing is lost: each trial is written when it finishes, and the lock of a dead process is
    free.
    """

    def heard(event: Event) -> None:
        listener(event)
        if isinstance(event, Stuck):
            echo(interrupted_line(state), err=True)
            hush()
            os._exit(INTERRUPTED)

    return heard
