"""Limits that every answer of a search must satisfy: as people write them, and as numbers.

A limit is absolute (``2ms``, ``500KiB``, ``0.9``) or relative to the baseline's value: ``0.5x`` is
half of it, ``-20%`` a fifth less. Percent of an accuracy are points: ``-1%`` is one percentage
point below the baseline's validation accuracy, not 99 % of it.
"""

import re
from collections.abc import Callable, Mapping

from slimtune.errors import ConfigError, UserError, shortened
from slimtune.results.objectives import OBJECTIVES, is_number
from slimtune.results.parsing import parse_latency, parse_size

LIMITED = {"max_latency": "latency_ms", "min_accuracy": "accuracy", "max_size": "size_bytes"}
"""A constraint's name -> the measured quantity it limits."""

Rule = Callable[[float], float]
"""Returns the limit, given the baseline's value."""

_RELATIVE = re.compile(r"\s*([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)\s*([x×%])\s*")


def parse_limit(name: str, text: str) -> Rule:
    """Read one limit.

    Args:
        name: a key of `LIMITED`.
        text: see above.

    Raises:
        UserError: not a limit of this kind.
    """
    match = _RELATIVE.fullmatch(text)
    if match is None:
        limit = _absolute(name, text)
        return lambda _baseline: limit
    sign, number, unit = match[1], float(match[2]), match[3]
    factor = -1.0 if sign == "-" else 1.0
    if unit == "%" and name == "min_accuracy":
        points = factor * number / 100
        return (lambda baseline: baseline + points) if sign else (lambda _baseline: points)
    if unit == "%" and sign:
        share = 1 + factor * number / 100
    elif unit != "%" and not sign:
        share = number
    else:
        raise UserError(f"write 0.5x, -20% or a value with its unit, but got {shortened(text)}")
    if share <= 0:
        raise UserError(f"leaves nothing of the baseline's value: {shortened(text)}; use 0.5x")
    return lambda baseline: share * baseline


def resolve_limits(
    constraints: Mapping[str, str | None], baseline: Mapping[str, object]
) -> dict[str, float]:
    """Return measured quantity -> limit, in its own unit, for every constraint that is given.

    Args:
        constraints: a key of `LIMITED` -> text, or None.
        baseline: the baseline's measurements.

    Raises:
        ConfigError: an accuracy outside 0..1.
    """
    limits: dict[str, float] = {}
    for name, text in constraints.items():
        if text is None:
            continue
        quantity = LIMITED[name]
        measured = baseline.get(quantity)
        assert is_number(measured), f"the baseline has no {quantity}"
        limits[quantity] = parse_limit(name, text)(float(measured))  # type: ignore[arg-type]
        if OBJECTIVES[quantity].fault(limits[quantity]) is not None:
            raise ConfigError(
                f"constraints.{name}: must be in 0..1, but {text} is {limits[quantity]:.4g} with "
                f"the baseline's {quantity} of {measured:.4g}; give a lower one"
            )
    return limits


def violations(limits: Mapping[str, float], measured: Mapping[str, object]) -> dict[str, float]:
    """Return by how much each limit is broken, as a fraction of it; 0 or less if it is not.

    Quantities that are not measured yet are left out: right after pruning, only size and latency
    say whether a trial can still satisfy its limits.
    """
    found: dict[str, float] = {}
    for name, limit in limits.items():
        value = measured.get(name)
        if is_number(value):
            gap = float(value) - limit  # type: ignore[arg-type]
            maximized = OBJECTIVES[name].direction == "maximize"
            found[name] = (-gap if maximized else gap) / (abs(limit) or 1.0)
    return found


def keeps(limits: Mapping[str, float], measured: Mapping[str, object]) -> bool:
    """Return whether every limited quantity was measured and satisfies its limit."""
    found = violations(limits, measured)
    return len(found) == len(limits) and all(value <= 0 for value in found.values())


def certain_limits(
    limits: Mapping[str, float], measured: Mapping[str, object]
) -> dict[str, float]:
    """Return the limits that can be judged: one on a latency cannot if the latency is unstable.

    Args:
        limits: measured quantity -> limit.
        measured: a trial's values with ``latency_stable``, or a front's row with ``stable``.
    """
    unstable = measured.get("latency_stable", measured.get("stable")) is False
    return {n: limit for n, limit in limits.items() if not (unstable and n == "latency_ms")}


def certain_violations(
    limits: Mapping[str, float], measured: Mapping[str, object]
) -> dict[str, float]:
    """Return `violations`; an unstable latency breaks no limit, because it may be too high."""
    sure = certain_limits(limits, measured)
    found = violations(limits, measured)
    return {name: gap if name in sure else min(gap, 0.0) for name, gap in found.items()}


def may_keep(limits: Mapping[str, float], measured: Mapping[str, object]) -> bool:
    """Return whether every limit that can be judged is satisfied."""
    return keeps(certain_limits(limits, measured), measured)


def joint_limits(
    limits: Mapping[str, float], max_latency: str | None, latency_ms: float | None
) -> dict[str, float]:
    """Return the limits for the joint measurement, in which the baseline took part.

    A limit such as ``0.7x`` is then relative to the baseline's latency in that measurement, not to
    the one from before the trials.

    Args:
        limits: the limits as numbers, from the start of the run.
        max_latency: the constraint as the user wrote it, or None.
        latency_ms: the baseline's latency in the joint measurement; None if unknown.
    """
    if max_latency is None or latency_ms is None or "latency_ms" not in limits:
        return dict(limits)
    return {**limits, "latency_ms": parse_limit("max_latency", max_latency)(latency_ms)}


def _absolute(name: str, text: str) -> float:
    if name == "max_latency":
        return parse_latency(text)
    if name == "max_size":
        return float(parse_size(text))
    try:
        accuracy = float(text)
    except ValueError:
        accuracy = -1.0
    if not 0 <= accuracy <= 1:
        raise UserError(
            f"must be 0..1, a percentage, or relative such as -1%, but got {shortened(text)}"
        )
    return accuracy
