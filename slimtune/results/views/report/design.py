"""Recipes as numbers: the design matrix of the regression."""

import math
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from slimtune.results.objectives import is_number

ABSENT = "none"
_FIRST = (
    "student.model", "prune.method", "quantize.method", "distill.method", "order",
    "prune.amount", "quantize.bits", "train.epochs", "train.lr",
)  # fmt: skip
"""In this order: of settings that always go together, the first is named."""
_RANGE = re.compile(r"Range\(low=(?P<low>[^,]+), high=(?P<high>[^,]+),")
_MANY = 4
"""Different values from which on a number may also bend: its square is a column too."""


def flat_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe as one flat mapping, such as ``{"prune.amount": 0.4}``."""
    flat: dict[str, Any] = {}
    for stage, content in recipe.items():
        if isinstance(content, Mapping):
            flat |= {f"{stage}.{name}": value for name, value in content.items()}
        else:
            flat[str(stage)] = content
    return flat


def fixed_settings(space: Mapping[str, str]) -> frozenset[str]:
    """Return the settings that a search had no choice in, as `flat_settings` names them.

    Trials may still differ in such a setting, because a method or a start recipe does not have it;
    that is not an effect of the setting.

    Args:
        space: dimension -> its values in words, of run.json; empty in old runs.
    """
    words: dict[str, list[str]] = {}
    for name, values in space.items():
        stage, *_, setting = name.split(".") if "." in name else ("", name)
        words.setdefault(f"{stage}.{setting}" if stage else name, []).append(values)
    return frozenset(name for name, rows in words.items() if all(map(_is_one, rows)))


def _is_one(words: str) -> bool:
    """Return whether a dimension, in words, has a single value."""
    if match := _RANGE.match(words):
        return match["low"] == match["high"]
    if words.startswith("Choice("):
        return words.endswith(",))")
    return ", " not in words  # methods


def design(
    recipes: Sequence[Mapping[str, Any]],
    squares: bool = False,
    without: Container[str] = (),
) -> dict[str, np.ndarray]:
    """Return setting -> its columns, of every setting that differs between the recipes.

    A word becomes one column of 0 and 1 for each value but the first ("none" where there is one).
    A number becomes its difference to the mean over the recipes that have it, 0 in the others.
    Numbers that spread over more than a factor of ten count by their logarithm. A column that
    others before it add up to is left out: a setting that goes with a method everywhere cannot be
    told from it.

    Args:
        recipes: n of them, in their JSON form.
        squares: also give numbers of at least four different values a square.
        without: settings to leave out.

    Returns:
        float64 arrays of (n, k), those of `_FIRST` first.
    """
    flat = [flat_settings(recipe) for recipe in recipes]
    names = [name for name in _FIRST if any(name in one for one in flat)]
    names += sorted({name for one in flat for name in one} - set(names))
    names = [name for name in names if name not in without]
    basis = np.ones((len(flat), 1))
    found: dict[str, np.ndarray] = {}
    for name in names:
        kept = []
        for column in _columns([one.get(name) for one in flat], squares):
            wider = np.column_stack([basis, column])
            if np.linalg.matrix_rank(wider, tol=1e-8 * len(flat)) == wider.shape[1]:
                basis = wider
                kept.append(column)
        if kept:
            found[name] = np.column_stack(kept)
    return found


def additive_values(name: str, column: np.ndarray, log: bool) -> np.ndarray:
    """Return an objective on the scale on which effects add up.

    Sizes, latencies and counts by their logarithm; an accuracy by the logarithm of its error,
    so that 0.98 to 0.99 counts as much as 0.90 to 0.95.

    Args:
        name: of the objective.
        column: (n,), in natural units.
        log: whether ratios count.
    """
    if name == "accuracy":
        return np.log(1 - column + 1e-3)
    return np.log(column) if log and (column > 0).all() else column


def _columns(values: Sequence[Any], squares: bool) -> list[np.ndarray]:
    given = [value for value in values if value is not None]
    if given and all(map(is_number, given)):
        return _number_columns(values, squares)
    words = [ABSENT if value is None else str(value) for value in values]
    levels = sorted(set(words), key=lambda word: (word not in (ABSENT, "baseline"), word))
    return [np.array([float(word == one) for word in words]) for one in levels[1:]]


def _number_columns(values: Sequence[Any], squares: bool) -> list[np.ndarray]:
    there = np.array([value is not None for value in values])
    numbers = np.array([math.nan if value is None else float(value) for value in values])
    if (numbers[there] > 0).all() and numbers[there].max() > 10 * numbers[there].min():
        numbers = np.log(numbers)
    spread = float(np.nanstd(numbers))
    if spread < 1e-12:
        return []
    scaled = np.where(there, (numbers - np.nanmean(numbers)) / spread, 0.0)
    if squares and len(set(numbers[there])) >= _MANY:
        return [scaled, np.where(there, scaled**2 - np.mean(scaled[there] ** 2), 0.0)]
    return [scaled]
