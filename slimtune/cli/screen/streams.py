"""Standard output and error that may fail: on a full disk, or if the reader closes the pipe.

Neither may end a search that runs for hours. Text that cannot be written is dropped, and the first
error is kept for the end.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from slimtune.errors import DiskFullError, RunError


class Output:
    """A text stream that drops what it cannot write.

    Args:
        stream: written to until it fails; everything else is asked of it.

    Attributes:
        error: the first failure, or None.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write ``text`` if the stream takes it; return its length."""
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if it takes that."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _attempt(self, call: Any, *arguments: str) -> None:
        if self.error is not None:
            return
        try:
            call(*arguments)
        except OSError as error:
            self.error = error
            # What is buffered can never be written; Python would try again when it exits.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


@contextmanager
def tolerate_failures() -> Iterator[None]:
    """Let standard output and error drop what they cannot write, for the block.

    Raises:
        RunError: at the end of the block, if standard output failed. A reader that closed the
            pipe is not an error. Standard error fails silently, because there is no place left
            to report it.
    """
    before = sys.stdout, sys.stderr
    # A process may be started with either closed (``>&-``); Python then has None in its place.
    out, err = (Output(stream or io.StringIO()) for stream in before)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
    error = out.error
    if error is not None and error.errno != errno.EPIPE:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise (DiskFullError if full else RunError)(
            f"cannot write to standard output ({error.strerror}): only this output is lost; free "
            "some space, or redirect it"
        )


def output_failed() -> bool:
    """Return whether standard output or error drops what is written to it."""
    streams = (sys.stdout, sys.stderr)
    return any(isinstance(stream, Output) and stream.error is not None for stream in streams)
