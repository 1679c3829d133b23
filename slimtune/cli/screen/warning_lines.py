"""Print slimtune's own warnings as lines on standard error, each once."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.errors import SlimtuneWarning


@contextmanager
def warning_lines(state: State) -> Iterator[None]:
    """Within the block, print each `SlimtuneWarning` in one line, unless asked to be quiet."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", SlimtuneWarning)
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any) -> None:
            if not issubclass(category, SlimtuneWarning):
                others(message, category, *rest)
            elif str(message) not in printed and state.verbosity >= 0:
                printed.add(str(message))
                echo(f"warning: {' '.join(str(message).split())}", err=True)

        warnings.showwarning = show  # type: ignore[assignment]
        yield
