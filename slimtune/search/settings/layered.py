"""Nested settings: merge layers, set one setting, and remove settings that are None."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from slimtune.errors import ConfigError


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the entries of ``over``; mappings are merged key by key.

    None is an entry like any other, and replaces a mapping of ``base``.
    """
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def without_none(
    settings: Mapping[str, Any], known: type[BaseModel] | None = None
) -> dict[str, Any]:
    """Return nested settings without the keys that are None, so that their defaults apply.

    Args:
        settings: nested mapping.
        known: the model of these settings; a key that it lacks stays, so that validation can
            refuse it. None: the keys are arbitrary.
    """
    fields = {} if known is None else known.model_fields
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if value is None and (known is None or key in fields):
            continue
        group = fields[key].annotation if key in fields else None
        inner = group if isinstance(group, type) and issubclass(group, BaseModel) else None
        result[key] = without_none(value, inner) if isinstance(value, Mapping) else value
    return result


def set_path(settings: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``a.b.c`` in nested mappings, in place; missing mappings are created.

    Raises:
        ConfigError: a part of the path is empty, or holds a value that is no mapping.
    """
    *parents, last = dotted.split(".")
    if not all([*parents, last]):
        raise ConfigError(f"'{dotted}' is not a setting; write it as stage.name, such as train.lr")
    for part in parents:
        settings = settings.setdefault(part, {})
        if not isinstance(settings, dict):
            raise ConfigError(f"{dotted}: '{part}' is a value, not a group of settings")
    settings[last] = value
