"""Which settings a resume may change: how much is run, and where; no other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slimtune.errors import RunChangedError, shortened
from slimtune.results.store.folder import RunFolder
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.final import MAY_CHANGE as FINAL_MAY_CHANGE
from slimtune.search.settings.layered import merged
from slimtune.search.settings.recorded import run_config
from slimtune.spaces.domains import Choice
from slimtune.spaces.space import Space

MAY_CHANGE = (
    "trials",
    "constraints.max_latency",
    "constraints.min_accuracy",
    "constraints.max_size",
    "time_budget",
    "stop_when_flat",
    "stopping",
    "concurrency",
    "executor",
    "ray_address",
    "per_trial.cpus",
    "per_trial.gpus",
    "per_trial.timeout",
    "per_trial.precision",
    "per_trial.teacher_views",
    "stage_store",
    "summary",
    "allow_weak_baseline",
    *FINAL_MAY_CHANGE,
    "log_to",
)
"""Settings that change at most the last bits of a complete trial; each trial records them."""
_FORMER = (
    ("prune.bn_scale.sparsity", 1e-4),
    ("train.recalibrate", False),
    ("train.recalibrate", None),
)
"""Dimensions that had this one value in older versions; runs of those versions keep it."""
_NEW = ("prune.rate",)
"""Dimensions that runs of older versions did not have."""


def recorded_settings(run: Path) -> dict[str, Any]:
    """Return the recorded settings of a run; empty if the run has no run.json yet.

    Raises:
        RunError: it is damaged, or of another version.
    """
    if not (run / "run.json").is_file():
        return {}
    return run_config(RunFolder.open(run)).model_dump(mode="json")


def check_same_search(folder: RunFolder, config: SearchConfig) -> None:
    """Check that settings belong to a run, except for those that may change.

    Args:
        folder: the run.
        config: with absolute paths.

    Raises:
        RunChangedError: settings outside `MAY_CHANGE` differ; one line for each.
    """
    recorded = run_config(folder).model_dump(mode="json")
    all_changes = differences(recorded, config.model_dump(mode="json"))
    changes = [change for change in all_changes if change[0] not in MAY_CHANGE]
    if not changes:  # the same settings: do they still mean the same space?
        space = folder.manifest.get("space", {})
        now = space_words(with_former_defaults(config, folder.manifest).resolved_space())
        # A dimension that is new in this version has one value: what older versions did.
        now = {name: words for name, words in now.items() if name in space or name not in _NEW}
        changes = list(differences(space, now, "space ")) if space else []
    if changes:
        lines = [f"  {name}: {old} in the run, {new} now" for name, old, new in changes]
        raise RunChangedError(
            f"{folder.path} was started with other settings; resume without them, or give another "
            f"--out (you may change: {', '.join(MAY_CHANGE)})\n" + "\n".join(lines)
        )


def with_former_defaults(config: SearchConfig, manifest: Mapping[str, Any]) -> SearchConfig:
    """Return the settings with the defaults that dimensions had when the run began.

    Args:
        config: of a resumed search.
        manifest: run.json of its run.
    """
    recorded, now = manifest.get("space", {}), space_words(config.resolved_space())
    former: dict[str, Any] = {}
    for name, value in _FORMER:
        if name in now and recorded.get(name) == str(Choice((value,))) != now[name]:
            *groups, key = name.split(".")
            setting: dict[str, Any] = {key: value}
            for group in reversed(groups):
                setting = {group: setting}
            former = merged(former, setting)
    if not former:
        return config
    return config.model_copy(update={"space": merged(former, config.space)})


def space_words(space: Space) -> dict[str, str]:
    """Return every dimension of a space by its dotted name, as text that can be compared."""
    rows = {stage: row for stage, row in space.stages.items()}
    rows |= {f"{s}.{m}": row for s, methods in space.methods.items() for m, row in methods.items()}
    words = {f"{s}.method": ", ".join(methods) for s, methods in space.methods.items()}
    words["order"] = str(space.order)
    return words | {f"{row}.{n}": str(d) for row, dims in rows.items() for n, d in dims.items()}


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield (dotted name, old value, new value) wherever two nested mappings differ."""
    for key in sorted(old.keys() | new.keys()):
        before, after = _by_index(old.get(key)), _by_index(new.get(key))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", _words(key in old, before), _words(key in new, after)


def _by_index(value: Any) -> Any:
    """Return a list of mappings, such as start recipes, as a mapping; other values unchanged."""
    listed = isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value)
    return {str(index): each for index, each in enumerate(value)} if listed else value


def _words(is_given: bool, value: Any) -> str:
    if not is_given:
        return "not given"
    return shortened(value, 120) if not isinstance(value, str) else value
