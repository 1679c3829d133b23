"""Sizes, latencies and durations as people type them, turned into numbers."""

import math
import re

from slimtune.errors import UserError, shortened

QUANTITY = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([^\s0-9.]*)\s*")
"""A number, and a unit if there is one."""
BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_size(text: str) -> int:
    """Return the number of bytes that ``text`` stands for, rounded down.

    Args:
        text: a number and a unit: B, kB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of
            1024), in upper or lower case.

    Raises:
        UserError: no number, no unit, another unit, or less than one byte.
    """
    size = _parse(text, BYTES, "500KiB", "B, kB, KiB, MB, MiB, GB or GiB")
    if size < 1:
        raise UserError(f"a size must be at least 1 byte, but got {shortened(text)}")
    return math.floor(size)


def parse_latency(text: str) -> float:
    """Return the milliseconds that ``text`` stands for.

    Args:
        text: a number and a unit: ns, us, ms or s.

    Raises:
        UserError: no number, no unit, another unit, or zero.
    """
    latency = _parse(text, MILLISECONDS, "2ms", "ns, us, ms or s")
    if latency <= 0:
        raise UserError(f"a latency must be above 0, but got {shortened(text)}")
    return latency


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` stands for.

    Args:
        text: numbers with units, the largest first: s, m (or min), h, d, such as ``1h30m``.

    Raises:
        UserError: no number, no unit, another unit, or zero.
    """
    parts = re.findall(r"[0-9.]+\s*[^\s0-9.]*", text) or [text]
    if "".join(parts).replace(" ", "") != text.replace(" ", ""):
        parts = [text]
    seconds = sum(_parse(part, _SECONDS, "10m", "s, m, h or d") for part in parts)
    if seconds <= 0:
        raise UserError(f"a duration must be above 0, but got {shortened(text)}")
    return seconds


def _parse(text: str, units: dict[str, float] | dict[str, int], example: str, names: str) -> float:
    match = QUANTITY.fullmatch(text)
    if match is None:
        raise UserError(f"must be a number and a unit, e.g. {example}, but got {shortened(text)}")
    number, unit = match[1], match[2].lower()
    if not unit:
        raise UserError(f"give a unit, e.g. {example}: {shortened(text)} could mean anything")
    if unit not in units:
        raise UserError(f"unknown unit in {shortened(text)}: use {names}, e.g. {example}")
    value = float(number) * units[unit]
    if not math.isfinite(value):
        raise UserError(f"must be finite, e.g. {example}, but got {shortened(text)}")
    return value
