"""Recipes that a search tries first because they need no training: quantizers alone.

Each takes as long as its calibration and its export. On a trained network they are often good
enough. If not, the sampler knows after a few trials what it has to beat.
"""

from collections.abc import Iterator
from typing import Any

from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.recipe import Recipe
from slimtune.compression.rungs import total_epochs
from slimtune.errors import ConfigError
from slimtune.spaces.domains import Choice, Domain
from slimtune.spaces.space import Space, suggest_recipe
from slimtune.spaces.start import Middle, single_recipes

MOST = 4
"""Most recipes of this kind, however wide the space is."""
PROMISE = ("gpfq", "int8_static", "rtn", "int8_dynamic", "float16")
"""The quantizers, the most promising first (docs/choosing-a-method.md has the numbers)."""
WIDTHS = (4, 8, 3, 6, 5, 7)
"""Bits of weights, the most promising first; with 2 bits and no training, accuracy is lost."""


def first_points(space: Space, trials: int, plain: int) -> list[dict[str, Any]]:
    """Return the parameters of the recipes that a search begins with, the first first.

    The baseline, if there is room for plain recipes at all; then what costs no training; then,
    if there is still room, the plain recipes of `single_points`.

    Args:
        space: the search space.
        trials: of the search. At most half of them, but always one, cost no training.
        plain: how many plain recipes there is room for, those without training counted in.
    """
    untrained = untrained_recipes(space, min(MOST, max(1, trials // 2)))
    singles = single_recipes(space)
    first = dict(list(singles.items())[: min(1, plain)])
    points = first | untrained
    rest = {key: point for key, point in singles.items() if key not in points}
    more = max(0, plain - len(points))
    return [*points.values(), *list(rest.values())[:more]]


def untrained_recipes(space: Space, most: int) -> dict[str, dict[str, Any]]:
    """Return the parameters of recipes that quantize and train nothing, by their key.

    The most promising width of each method comes first, then the second of each, and so on.
    Batch-norm statistics are measured again wherever the space lets them.

    Args:
        space: the search space; what it insists on, such as pruning, may leave no such recipe.
        most: how many at most.
    """
    points: dict[str, dict[str, Any]] = {}
    for method, bits in _candidates(space):
        fixed = {"quantize.method": method, f"quantize.{method}.bits": bits}
        walker = Middle({k: v for k, v in fixed.items() if v is not None} | _PLAIN)
        try:
            recipe = suggest_recipe(walker, space)
        except ConfigError:  # a space that contradicts itself is refused as a whole, elsewhere
            continue
        if total_epochs(recipe) == 0 and _only_quantizes(recipe):
            points.setdefault(recipe.key(), walker.params)
    return dict(list(points.items())[:most])


_PLAIN = {"student.model": "baseline", "order": "ppq", "train.recalibrate": True}


def _only_quantizes(recipe: Recipe) -> bool:
    return recipe.prune is None and recipe.student == Recipe().student


def _candidates(space: Space) -> Iterator[tuple[str, int | None]]:
    """Yield methods and their widths, None where a method has one only, by their promise."""
    candidates = []
    for method, row in space.methods["quantize"].items():
        if method != "none" and not QUANTIZATION[method].trains:
            place = PROMISE.index(method) if method in PROMISE else len(PROMISE)
            widths = _widths(row["bits"]) if "bits" in row else [None]
            candidates += [(turn, place, method, bits) for turn, bits in enumerate(widths)]
    for _, _, method, bits in sorted(candidates, key=lambda one: one[:2]):
        yield method, bits


def _widths(domain: Domain) -> list[int | None]:
    """Return the bits that are worth a trial; those there are, if none of them is."""
    if isinstance(domain, Choice):
        values = [value for value in domain.values if isinstance(value, int)]
    else:
        values = [b for b in WIDTHS if domain.low <= b <= domain.high] or [int(domain.low)]
    return [bits for bits in WIDTHS if bits in values] or list(values)
