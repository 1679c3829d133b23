"""The limits of a search, also of a resumed one whose limits have changed."""

from collections.abc import Mapping

from slimtune.results.pareto.limit_view import looser_limits, search_limits
from slimtune.results.pareto.limits import LIMITED, certain_violations, resolve_limits
from slimtune.results.stop_reason import kind_of
from slimtune.results.store.folder import RunFolder
from slimtune.search.listeners.events import LimitsSet, Listener
from slimtune.search.settings.config import SearchConfig


def record_settings(folder: RunFolder, config: SearchConfig) -> RunFolder:
    """Write the settings of a resumed run into run.json, with the limits that follow from them.

    A limit whose text is unchanged keeps the value that it was resolved to when the run began.

    Args:
        folder: of the run, with its previous settings.
        config: the new settings.

    Raises:
        ConfigError: a limit that no trial can satisfy.
        RunError: the disk refuses, or the baseline's record is damaged.
    """
    before = search_limits(folder.manifest)
    texts = config.constraints.model_dump()
    baseline = folder.baseline()
    limits = resolve_limits(texts, {**baseline["metrics"], **baseline["objectives"]})
    same = {
        quantity: before.limits[quantity]
        for name, quantity in LIMITED.items()
        if quantity in before.limits and texts[name] == before.texts.get(quantity)
    }
    return folder.with_config(config.model_dump(mode="json"), limits={**limits, **same})


def tell_limits(folder: RunFolder, listener: Listener, before: RunFolder | None = None) -> None:
    """Report `LimitsSet`: the limits, the previous ones, and the trials that those had stopped.

    Nothing is reported for a run without limits.

    Args:
        folder: of the run.
        listener: of the search.
        before: the run with its previous settings, if it is resumed.
    """
    now = search_limits(folder.manifest)
    old = now if before is None else search_limits(before.manifest)
    changed = now.limits != old.limits
    if not now.limits and not changed:
        return
    stopped = [
        record.number
        for record in (folder.records() if _is_looser(old.limits, now.limits) else [])
        if record.status == "stopped" and kind_of(record.error) == "limit"
    ]
    event = LimitsSet(now.limits, now.texts)
    if changed:
        event = LimitsSet(now.limits, now.texts, old.limits, old.texts, tuple(stopped))
    listener(event)


def _is_looser(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    return any(looser_limits({name: limit}, new) != {name: limit} for name, limit in old.items())


def breaches(folder: RunFolder) -> dict[int, dict[str, float]]:
    """Return by how much each finished trial breaks each of the run's present limits.

    Raises:
        RunError: a record is damaged.
    """
    limits = folder.manifest.get("limits", {})
    return {
        record.number: certain_violations(limits, record.measured)
        for record in folder.records()
        if record.status != "failed"
    }
