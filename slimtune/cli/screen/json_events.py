"""The events of a search as JSON, one object per line, for other programs."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from slimtune.cli.screen.terminal import echo
from slimtune.results.store.record import TrialRecord
from slimtune.search.listeners.events import Event


def json_line(kind: str, values: Mapping[str, Any]) -> str:
    """Return an event as one line of JSON, with its kind under ``event``.

    Args:
        kind: the event's kind.
        values: the event's values. A record is printed without its recipe, artifacts and host,
            which are in the trial's result.json.
    """
    plain = {name: _plain(value) for name, value in values.items()}
    return json.dumps({"event": kind, **plain}, ensure_ascii=False, allow_nan=False)


_SHOWN = (
    "number",
    "status",
    "pipeline",
    "seed",
    "objectives",
    "metrics",
    "error",
    "seconds",
)


class JsonEvents:
    """A listener of `run_search` that writes each event to standard output.

    Args:
        write: takes a line.
    """

    def __init__(self, write: Callable[[str], None] = echo) -> None:
        self._write = write

    def __call__(self, event: Event) -> None:
        """Write one event."""
        self._write(json_line(event.kind, event.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, TrialRecord):
        return {name: _plain(one) for name, one in value.to_dict().items() if name in _SHOWN}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
