"""Finds a network's weights inside whatever a training script saved.

A checkpoint may wrap the weights (``state_dict``, ``model``, ``ema``...), put one prefix before
all their names (``module.``, ``_orig_mod.``, ``model.``...) and hold other things beside them. The
weights are recognised by their names, which are the network's, and not by such words.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

_DEEPEST = 4
_AVERAGED = re.compile(r"(?<![a-z])(ema|swa|averaged?|teacher|momentum)(?![a-z])", re.I)
_COUNTED = (".total_ops", ".total_params", "total_ops", "total_params")
"""Names of buffers that tools for counting operations leave in a network."""


@dataclass(frozen=True)
class WeightSet:
    """Tensors by name, and where in the file they are.

    Attributes:
        place: the entry of the file, such as ``"state_dict"``, and the prefix that was taken off,
            such as ``"state_dict, model."``; empty: the file itself.
        tensors: by the network's names.
        left_out: names in the same entry that are not the network's.
    """

    place: str
    tensors: dict[str, Tensor]
    left_out: tuple[str, ...] = field(default=())

    @property
    def is_averaged(self) -> bool:
        """Whether the place says that these are an average over the training, or a teacher's."""
        return _AVERAGED.search(self.place) is not None


def sets_in(content: Any) -> list[WeightSet]:
    """Return every mapping from names to tensors in what a file holds, the outermost first."""
    return [WeightSet(place, tensors) for place, tensors in _walk(content, "", _DEEPEST)]


def _walk(content: Any, place: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or depth == 0:
        return
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor) and not name.endswith(_COUNTED)
    }
    if tensors:
        yield place, tensors
    for name, value in content.items():
        yield from _walk(value, f"{place}.{name}" if place else str(name), depth - 1)


def fitting(
    found: WeightSet, expected: Collection[str], required: Collection[str]
) -> list[WeightSet]:
    """Return the parts of a set that are a network's weights, under its names.

    Args:
        found: as it is in the file.
        expected: every name that the network may have.
        required: those that it must have, at least one.

    Returns:
        The set itself where its names are the network's; else one part a prefix that can be
        taken off the file's names, the network's, or both, so that they are the same.
    """
    if not required:
        return []
    kept = {n: t for n, t in found.tensors.items() if n in expected or not _counts(n, t)}
    if _is_all(kept, expected, required):
        return [WeightSet(found.place, kept, tuple(found.tensors.keys() - kept.keys()))]
    own = common_prefix(expected)
    parts = _stripped(found, expected, required, "")
    return parts or (_stripped(found, expected, required, own) if own else [])


def _stripped(
    found: WeightSet, expected: Collection[str], required: Collection[str], own: str
) -> list[WeightSet]:
    """Return the parts under each prefix, where the network's names lose the prefix ``own``."""
    bare = {name.removeprefix(own): name for name in expected}
    needed = {name.removeprefix(own) for name in required}
    # Whatever stands before a name that must be there may be the prefix. The longest name occurs
    # least often at the end of others.
    longest = max(needed, key=len)
    prefixes = {n.removesuffix(longest) for n in found.tensors if n.endswith(longest)}
    parts = []
    for prefix in sorted(prefixes):
        inner = {n[len(prefix) :]: t for n, t in found.tensors.items() if n.startswith(prefix)}
        if _is_all(inner, bare, needed):
            others = tuple(n for n in found.tensors if not n.startswith(prefix))
            place = ", ".join(part for part in (found.place, prefix) if part)
            parts.append(WeightSet(place, {bare[n]: t for n, t in inner.items()}, others))
    return parts


def _counts(name: str, tensor: Tensor) -> bool:
    """Return whether this is one number of the training's, such as ``global_step``."""
    return "." not in name and tensor.numel() == 1


def _is_all(names: Collection[str], expected: Collection[str], required: Collection[str]) -> bool:
    return set(required) <= set(names) <= set(expected)


def common_prefix(names: Collection[str]) -> str:
    """Return the modules that all names begin with, such as ``"model.net."``; or ``""``."""
    start = os.path.commonprefix(list(names))
    return start[: start.rfind(".") + 1]


def nearest(sets: list[WeightSet], expected: Collection[str]) -> WeightSet:
    """Return the set with most of the network's names once a common prefix is off.

    Args:
        sets: at least one, none of which fits.
        expected: the network's names.
    """
    bare = [
        WeightSet(each.place, {n.removeprefix(prefix): t for n, t in each.tensors.items()})
        for each in sets
        for prefix in {"", common_prefix(each.tensors)}
    ]
    own = common_prefix(expected)
    if own:
        bare += [WeightSet(b.place, {own + n: t for n, t in b.tensors.items()}) for b in bare]
    known = set(expected)
    return max(bare, key=lambda each: (len(known & each.tensors.keys()), len(each.tensors)))
