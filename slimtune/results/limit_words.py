"""Limits in words: in the unit that the user gave, KiB and ms where none was given."""

from collections.abc import Mapping

from slimtune.results.objectives import OBJECTIVES, Objective
from slimtune.results.units import latency_like, size_like


def limit_amount(objective: Objective, value: float, text: str = "", digits: int = 4) -> str:
    """Return a value of an objective with its unit, such as ``"292.9 KiB"``.

    Args:
        objective: the objective.
        value: in the objective's own unit.
        text: the limit as the user wrote it: of ``"0.3MB"`` the unit is taken.
        digits: significant ones.
    """
    if objective.name == "size_bytes":
        return size_like(value, text, digits)
    if objective.name == "latency_ms":
        return latency_like(value, text, digits)
    return f"{value:.{digits}g} {objective.unit}".strip()


def limit_words(name: str, value: float, text: str = "") -> str:
    """Return one limit as a condition, such as ``"latency <= 2 ms"``."""
    objective = OBJECTIVES[name]
    sign = ">=" if objective.direction == "maximize" else "<="
    return f"{objective.title} {sign} {limit_amount(objective, value, text)}"


def limits_words(limits: Mapping[str, float], texts: Mapping[str, str]) -> str:
    """Return all limits in one line; a relative one is followed by the user's text.

    Such as ``"accuracy >= 0.9741 (-1%), size <= 300 kB"``.

    Args:
        limits: measured quantity -> limit, in its unit.
        texts: measured quantity -> the limit as the user wrote it.
    """
    return ", ".join(
        limit_words(name, value, texts.get(name, "")) + _relative(texts.get(name, ""))
        for name, value in limits.items()
    )


def _relative(text: str) -> str:
    text = text.strip()
    return f" ({text})" if text.endswith(("x", "×")) or text.startswith(("-", "+")) else ""
