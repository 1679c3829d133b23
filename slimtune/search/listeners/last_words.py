"""Prints a message if this process dies without one; a small second process does it.

If the Ray of a host ends, for example by ``ray stop``, Ray's code in the driver ends the process
at once: no exception, no handler, exit code 1. A SIGKILL is as silent.
"""

import subprocess
from contextlib import suppress

WORDS = (
    "error: the process ended at once: it was killed, or Ray on this host was (`ray stop` ends "
    "every Ray here); finished work is kept: run the same command again, a search with --resume"
)
_SCRIPT = 'read -r _ || printf "%s\\n" "$1" >&2'


_listening: list["LastWords"] = []


class LastWords:
    """Starts the second process, which waits for the end of this one.

    If no process can be started, there is no message.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        _listening.append(self)
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "sh", WORDS],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the search alone
            )

    def withdraw(self) -> None:
        """End the second process; no message will be printed."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.write(b"well\n")
                process.stdin.close()
            process.wait()
        if self in _listening:
            _listening.remove(self)


def hush() -> None:
    """Withdraw all last words, for a caller that ends this process and has said why."""
    for words in list(_listening):
        words.withdraw()
