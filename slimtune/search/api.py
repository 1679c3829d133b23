"""`slimtune.search`: the command line's search as one Python call."""

from pathlib import Path
from typing import Any

from slimtune.results.run import Run
from slimtune.search.config import make_config
from slimtune.search.search import Listener, ignore_events, run_search


def search(
    *,
    out: str | Path,
    preset: str | None = None,
    listener: Listener = ignore_events,
    **settings: Any,
) -> Run:
    """Search for compressed versions of a model and return the finished run.

    Args:
        out: folder of the run; must not exist.
        preset: name of a ready-made search to start from, such as ``"demo"``.
        listener: told what happens while it happens.
        **settings: the settings of `slimtune.search.config.SearchConfig`: ``model``, ``weights``,
            ``data``, ``trials``, ``seed``, ``concurrency``, ``executor``, ``objectives``,
            ``validation``, ``baseline``, ``space``.

    Raises:
        UserError: a setting that breaks a rule, or data and weights that cannot be used.
        SearchFailedError: not one trial finished.
    """
    return run_search(make_config(settings, preset), Path(out), listener)
