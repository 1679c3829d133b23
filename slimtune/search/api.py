"""`slimtune.search`: the command line's search as one Python call."""

from pathlib import Path
from typing import Any

from slimtune.results.run import Run
from slimtune.search.config import make_config
from slimtune.search.opened import open_run
from slimtune.search.references import code_in
from slimtune.search.resume import recorded_settings
from slimtune.search.search import Listener, ignore_events, run_search
from slimtune.workload import own_code


def search(
    *,
    out: str | Path,
    preset: str | None = None,
    listener: Listener = ignore_events,
    resume: bool = False,
    allow_code: bool = False,
    **settings: Any,
) -> Run:
    """Search for compressed versions of a model and return the finished run.

    Args:
        out: folder of the run; must not exist, unless ``resume``.
        preset: name of a ready-made search to start from, such as ``"demo"``.
        listener: told what happens while it happens.
        resume: go on with the run in ``out``, if there is one; settings that are not given are
            the run's.
        allow_code: run code that the resumed run names; what ``settings`` name may run anyway.
        **settings: the settings of `slimtune.search.config.SearchConfig`: ``model``, ``weights``,
            ``data``, ``preprocessing`` (``{"mean": "half"}``), ``trials``, ``seed``,
            ``allow_weak_baseline``, ``concurrency``, ``executor``, ``objectives``,
            ``validation``, ``baseline``, ``space``, ``final`` (``{"epochs": 30, "repeats": 3}``).
            None is as if not given.

    Raises:
        UserError: a setting that breaks a rule, or data and weights that cannot be used.
        RunError: with ``resume``, a run that is in use, damaged, or was made with other settings.
        SearchFailedError: not one trial finished.
    """
    settings = {name: value for name, value in settings.items() if value is not None}
    own_code.allow_code(*(reference for _, reference in code_in(settings)))
    if allow_code:
        own_code.allow_all_code()
    base = recorded_settings(Path(out)) if resume else {}
    run = run_search(make_config(settings, preset, base), Path(out), listener, resume=resume)
    return open_run(run.path)
