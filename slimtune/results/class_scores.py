"""Accuracy of single classes on the test images, and which classes are confused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from slimtune.results.store.shapes import STRICT
from slimtune.results.units import accuracy

MOST_CLASSES = 1000
"""Classes that are kept of one model, the worst first."""
MOST_PAIRS = 20
"""Confusions that are kept of one model, the most frequent first."""
SHOWN = 10
"""Classes, and confusions, that a report or a card shows."""

_Whole = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True)
class ClassScores:
    """What one model does with the classes of the test images.

    Attributes:
        right: (class, images that are right, images) of each class with images, those with the
            smallest share first; at most `MOST_CLASSES`.
        confused: (class, class that was named instead, images), the most frequent first; at most
            `MOST_PAIRS`.
    """

    __pydantic_config__ = STRICT

    right: tuple[tuple[_Whole, _Whole, Annotated[int, Field(ge=1, lt=2**53)]], ...] = ()
    confused: tuple[tuple[_Whole, _Whole, _Whole], ...] = ()


@dataclass(frozen=True)
class ClassTable:
    """The worst classes of a model beside its baseline, in words.

    Attributes:
        rows: name, images, the baseline's share that is right, the model's.
        more: how many classes are not shown, all of them no worse.
        baseline: the baseline's most frequent confusions, such as ``"cat as dog (3)"``.
        model: the model's.
    """

    rows: tuple[tuple[str, int, str, str], ...]
    more: int
    baseline: tuple[str, ...]
    model: tuple[str, ...]


def class_scores(named: np.ndarray, labels: np.ndarray) -> ClassScores:
    """Count, class by class, what is right and what was named instead.

    Args:
        named: the class that the model names for each image, int, (n,).
        labels: int, (n,).
    """
    classes, images = np.unique(labels, return_counts=True)
    counted = dict(zip(*np.unique(labels[named == labels], return_counts=True), strict=True))
    right = [
        (int(c), int(counted.get(c, 0)), int(n)) for c, n in zip(classes, images, strict=True)
    ]
    wrong = np.stack([labels[named != labels], named[named != labels]], axis=1)
    pairs, counts = np.unique(wrong, axis=0, return_counts=True)
    confused = [(int(a), int(b), int(n)) for (a, b), n in zip(pairs, counts, strict=True)]
    return ClassScores(
        tuple(sorted(right, key=lambda each: (each[1] / each[2], each[0]))[:MOST_CLASSES]),
        tuple(sorted(confused, key=lambda each: (-each[2], each))[:MOST_PAIRS]),
    )


def class_table(
    model: ClassScores, baseline: ClassScores | None, names: Sequence[str]
) -> ClassTable:
    """Return the worst classes of a model, beside what the baseline does with them.

    Args:
        model: its scores.
        baseline: its scores; None where they were not measured.
        names: of the classes, by label.
    """
    before = {label: (right, n) for label, right, n in baseline.right} if baseline else {}
    shown = model.right[:SHOWN]
    return ClassTable(
        rows=tuple(
            (_name(names, label), n, _share(before.get(label)), _share((right, n)))
            for label, right, n in shown
        ),
        more=len(model.right) - len(shown),
        baseline=_pairs(baseline, names) if baseline else (),
        model=_pairs(model, names),
    )


def class_tables(
    scores: Mapping[int | None, ClassScores | None], names: Sequence[str]
) -> dict[int, ClassTable]:
    """Return trial -> its table, of all trials that have scores.

    Args:
        scores: by trial; the baseline's under None.
        names: of the classes, by label.
    """
    base = scores.get(None)
    return {n: class_table(s, base, names) for n, s in scores.items() if n is not None and s}


def _pairs(scores: ClassScores, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{_name(names, a)} as {_name(names, b)} ({n})" for a, b, n in scores.confused[:SHOWN]
    )


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else str(label)


def _share(counted: tuple[int, int] | None) -> str:
    return "" if counted is None else accuracy(counted[0] / counted[1])
