"""The search as one Python call that displays nothing; `slimtune.api` adds the display."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimtune.search.listeners.events import Listener, ignore_events
from slimtune.search.opened import Run, open_run
from slimtune.search.resuming.resume import recorded_settings
from slimtune.search.session import run_search
from slimtune.search.settings.config import make_config
from slimtune.search.settings.references import check_address, code_in
from slimtune.workload import own_code


def search(
    settings: Mapping[str, Any],
    *,
    out: str | Path,
    preset: str | None = None,
    listener: Listener = ignore_events,
    resume: bool = False,
    allow_code: bool = False,
) -> Run:
    """Search without a display; see `slimtune.api.searching.search`.

    Args:
        settings: of the search; code that they name may run. A None counts as not given.
        out: folder of the run.
        preset: name of a ready-made search to start from.
        listener: receives the events.
        resume: continue the run in ``out``, if there is one.
        allow_code: run code that the resumed run names.

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
    config = make_config(settings, preset, base)
    if config.executor != "inline":
        check_address(config.ray_address, settings)
    run = run_search(config, Path(out), listener, resume=resume)
    return open_run(run.path)
