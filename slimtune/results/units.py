"""Numbers as text: one function for each kind of number, so that it reads the same everywhere.

A latency has three decimals up to 10 ms and one above, an accuracy four. A file's size is in KiB,
disk space in MiB or GiB. Limits keep the unit that the user gave, with four significant digits.
"""

import math
from collections.abc import Mapping

from slimtune.results.objectives import Objective, is_number
from slimtune.results.parsing import BYTES, MILLISECONDS, QUANTITY

MISSING = "–"
"""In place of a number that was not measured."""
UNSTABLE = "~ the machine was too busy for a stable latency"
"""What the mark beside a latency means."""

_KIB, _MIB, _GIB = 2**10, 2**20, 2**30
_SHOWN_UNITS = {"B": "KiB", "ms": "ms"}
_SIZE_WORDS = {unit: BYTES[unit.lower()] for unit in ("B", "kB", "MB", "GB", "KiB", "MiB", "GiB")}
_LATENCY_WORDS = {unit: MILLISECONDS[unit] for unit in ("ns", "us", "µs", "ms", "s")}


def plural(number: int, noun: str) -> str:
    """Return ``"1 seed"`` or ``"2 seeds"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def accuracy(score: float, error: float | None = None, images: int | None = None) -> str:
    """Return an accuracy of 0..1, such as ``"0.9173 ± 0.0028 (n = 10000)"``."""
    text = f"{score:.4f}"
    text += "" if error is None or math.isnan(error) else f" ± {error:.4f}"
    return text + ("" if images is None else f" (n = {images})")


def percent(share: float) -> str:
    """Return a share of 0..1, such as ``"34.2%"``; without decimals where it is whole."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def size(amount: float) -> str:
    """Return the bytes of a file, such as ``"285.9 KiB"``."""
    return f"{amount / _KIB:.1f} KiB"


def room(amount: float) -> str:
    """Return bytes of disk or memory, such as ``"35.2 MiB"`` or ``"15.6 GiB"``."""
    return f"{amount / _GIB:.1f} GiB" if amount >= _GIB else f"{amount / _MIB:.1f} MiB"


def latency(ms: float, stable: bool = True) -> str:
    """Return milliseconds, such as ``"0.214 ms"``, with a ``~`` if the machine was too busy."""
    return f"{_latency_digits(ms)} ms" + ("" if stable else " ~")


def count(number: float) -> str:
    """Return a count, such as ``"269.7 k"`` or ``"40.55 M"``."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= factor:
            return f"{number / factor:.4g} {unit}"
    return f"{number:.4g}"


def times(ratio: float) -> str:
    """Return how many times more, such as ``"82.5×"``; empty for NaN.

    Below 1.5 it has two decimals, because one would hide the difference.
    """
    if not math.isfinite(ratio):
        return ""
    return f"{ratio:.2f}×" if abs(ratio) < 1.495 else f"{ratio:.1f}×"


def duration(seconds: float) -> str:
    """Return seconds, such as ``"3.2 s"``, ``"12 min 5 s"`` or ``"1 h 4 min"``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def clock(seconds: float) -> str:
    """Return the seconds of a clock that runs on the screen, such as ``"1:52"``, ``"2:01:52"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def display_unit(objective: Objective) -> str:
    """Return the unit that values of an objective are shown in; empty if they have none."""
    return _SHOWN_UNITS.get(objective.unit, objective.unit)


def axis_title(objective: Objective) -> str:
    """Return an objective with its unit, such as ``"size (KiB)"``."""
    return f"{objective.title} ({display_unit(objective)})" if objective.unit else objective.title


def in_display_unit(objective: Objective, value: float) -> float:
    """Return a value in its `display_unit`: bytes in KiB, all else as it is."""
    return float(value) / _KIB if objective.unit == "B" else float(value)


def number(objective: Objective, value: float) -> str:
    """Return one measured value without its unit, such as ``"14.6"``; `MISSING` for NaN."""
    if not math.isfinite(value):
        return MISSING
    if objective.high == 1.0:
        return accuracy(value)
    if objective.unit == "B":
        return size(value).removesuffix(" KiB")
    return _latency_digits(value) if objective.unit == "ms" else count(value)


def quantity(objective: Objective, value: float, stable: bool = True) -> str:
    """Return one measured value with its unit, such as ``"14.6 KiB"``.

    Args:
        objective: the objective.
        value: in its own unit.
        stable: whether the machine was quiet enough for a latency; a ``~`` says if it was not.
    """
    text = number(objective, value)
    if objective.unit in _SHOWN_UNITS and text != MISSING:
        text += f" {display_unit(objective)}"
    return text if stable or objective.unit != "ms" else f"{text} ~"


def change(objective: Objective, value: float, ratio: bool) -> str:
    """Return a change: ``"+1.23 points"``, ``"7.6× smaller"`` or ``"1.20× larger"``.

    Args:
        objective: the objective.
        value: a difference in its unit, or a factor.
        ratio: whether it is a factor.
    """
    if not ratio:
        text = f"{100 * value:+.2f} points" if objective.high == 1.0 else f"{value:+.4g}"
        return text.replace("-", "−")
    smaller, larger = ("faster", "slower") if objective.unit == "ms" else ("smaller", "larger")
    word, factor = (smaller, 1 / value) if value < 1 else (larger, value)
    if objective.direction == "maximize":
        word = "lower" if value < 1 else "higher"
    return f"{times(factor)} {word}" if round(factor, 2) != 1 else "the same"


def spread(objective: Objective, low: float, high: float, ratio: bool) -> str:
    """Return the range of one standard error to both sides of a `change`; empty for NaN."""
    if math.isnan(low):
        return ""
    if not ratio:
        half = (high - low) / 2
        return f"± {100 * half:.2f}" if objective.high == 1.0 else f"± {half:.4g}"
    ends = sorted((1 / low, 1 / high)) if (low * high) ** 0.5 < 1 else [low, high]
    return f"{times(ends[0])} to {times(ends[1])}"


def size_like(amount: float, text: str = "", digits: int = 4) -> str:
    """Return bytes in the unit that ``text`` has, such as ``"300 kB"``; in KiB if it has none."""
    unit = _unit_in(text, _SIZE_WORDS, "KiB" if amount >= _KIB else "B")
    return _like(amount, _SIZE_WORDS, unit, digits)


def latency_like(ms: float, text: str = "", digits: int = 4) -> str:
    """Return milliseconds in the unit that ``text`` has, such as ``"214 us"``; in ms if none."""
    return _like(ms, _LATENCY_WORDS, _unit_in(text, _LATENCY_WORDS, "ms"), digits)


def is_missing(value: object) -> bool:
    """Return whether nothing was measured: None, NaN or the missing value of pandas."""
    return not is_number(value) or math.isnan(value)  # type: ignore[arg-type]


def _latency_digits(ms: float) -> str:
    return f"{ms:.3f}" if abs(ms) < 9.9995 else f"{ms:.1f}"


def _unit_in(text: str, units: Mapping[str, float], default: str) -> str:
    match = QUANTITY.fullmatch(text)
    spelled = {unit.lower(): unit for unit in units}
    return spelled.get(match[2].lower(), default) if match else default


def _like(value: float, units: Mapping[str, float], unit: str, digits: int) -> str:
    shown = value / units[unit]
    # 4 digits of 10,000 and more would be written with an exponent
    number = f"{shown:.0f}" if abs(shown) >= 10**digits else f"{shown:.{digits}g}"
    return f"{number} {unit}"
