"""Recipes that a search begins with: the baseline, each technique alone, and the user's own."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError, UserError, shortened
from slimtune.spaces.answers import Answers
from slimtune.spaces.domains import Choice, Domain, Range
from slimtune.spaces.space import Space, suggest_recipe

SHARE = 8
"""By default, one trial in so many is a plain recipe. More would be too much alike: with one in
four, NSGA-II reaches 0.81 of the best volume instead of 0.87 (benchmarks/search_quality.py, 40
trials). To TPE it makes no difference."""
_PLAIN = {"order": "ppq", "student.model": "baseline"}


def single_points(space: Space, most: int) -> list[dict[str, Any]]:
    """Return the parameters of the plainest recipes of ``space``, the plainest first.

    First the baseline itself, then by turns a pruning method and a quantizer alone, then
    the distillation methods alone; every number in the middle of its range. "Alone" means that
    the other stages do nothing, or what they do first where the space leaves them no choice.

    Args:
        space: the search space.
        most: how many at most.
    """
    return list(single_recipes(space).values())[:most]


def single_recipes(space: Space) -> dict[str, dict[str, Any]]:
    """Return the parameters of all the plainest recipes of ``space`` by their key, in order."""
    alone = {
        stage: [{f"{stage}.method": method} for method in rows if method != "none"]
        for stage, rows in space.methods.items()
    }
    turns = chain.from_iterable(zip_longest(alone["prune"], alone["quantize"]))
    points: dict[str, dict[str, Any]] = {}
    for fixed in [{}, *(point for point in turns if point is not None), *alone["distill"]]:
        middle = Middle(fixed)
        try:
            points.setdefault(suggest_recipe(middle, space).key(), middle.params)
        except ConfigError:  # a space that contradicts itself is refused as a whole, elsewhere
            continue
    return points


def read_points(recipes: Sequence[Mapping[str, Any]], space: Space) -> list[dict[str, Any]]:
    """Return the parameters of given recipes, to be completed by drawing what they leave out.

    A stage that is left out does nothing; a setting that is left out of a stage is drawn.

    Args:
        recipes: in their JSON form, as in a config file.
        space: must hold every one of them.

    Raises:
        ConfigError: a recipe breaks a rule or is not in the space; the message begins with its
            dotted key, such as ``start.0.prune.amount``.
    """
    return [_read_point(dict(recipe), space, f"start.{i}") for i, recipe in enumerate(recipes)]


def _read_point(recipe: dict[str, Any], space: Space, where: str) -> dict[str, Any]:
    try:
        reader = _Reader(recipe)
        _check_fixed(reader, suggest_recipe(reader, space).to_dict())
    except UserError as error:
        raise ConfigError(f"{where}.{error}") from None
    return reader.params


def _check_fixed(reader: "_Reader", recipe: dict[str, Any]) -> None:
    """Refuse a value that the space never drew because it knows only another."""
    drawn = {_place(name) for name in reader.params}
    for (stage, key), value in reader.settings.items():
        actual = recipe[stage] if key == "" else recipe[stage].get(key)
        if (stage, key) not in drawn and actual != value:
            way_out = "leave it out, or widen the space"
            if (stage, key, actual) == ("train", "epochs", 0):
                way_out = (
                    "a recipe that neither prunes nor distills is not fine-tuned (a quantizer "
                    "that learns has quantize.epochs); leave it out"
                )
            raise ConfigError(
                f"{stage}.{key}".rstrip(".") + f": must be {shortened(actual)} in the search "
                f"space, but got {shortened(value)}; {way_out}"
            )


def _place(name: str) -> tuple[str, str]:
    """Return stage and key of a dimension: ``prune.fpgm.x`` and ``prune.x`` are one place."""
    stage, *_, key = [*name.split("."), ""] if "." not in name else name.split(".")
    return stage, key


class _Reader(Answers):
    """Answers from a recipe; dimensions that it leaves out get any value and are not recorded.

    Raises:
        UserError: it is no valid recipe.
    """

    def __init__(self, recipe: Mapping[str, Any]) -> None:
        super().__init__()
        # Numbers may be given as text; what they come to is what a search would draw.
        read = Recipe.from_dict(recipe).to_dict()
        self.settings: dict[tuple[str, str], Any] = {}
        for stage, value in recipe.items():
            if isinstance(value, str) and stage != "order":
                value = {"model" if stage == "student" else "method": value}
            if isinstance(value, Mapping):
                self.settings |= {(stage, key): read[stage].get(key, value[key]) for key in value}
            else:
                self.settings[stage, ""] = read[stage]

    def answer(self, name: str, domain: Domain) -> Any:
        """Return the recipe's value, or any if it leaves the dimension out."""
        if isinstance(domain, Choice):
            return self._one_of(name, domain.values)
        value = self._number(name, domain)
        if value is None:
            return domain.low
        self.params[name] = round(value) if domain.whole else value
        return self.params[name]

    def _one_of(self, name: str, choices: Sequence[Any]) -> Any:
        plain = "none" if name.endswith(".method") else _PLAIN.get(name)
        value = self.settings.get(_place(name), plain)
        if _place(name) not in self.settings and plain is None:
            return choices[0]
        if value not in choices:
            listed = ", ".join(map(str, choices))
            raise ConfigError(
                f"{self._dotted(name)}: must be one of {listed} in the search space, but got "
                f"{shortened(value)}; widen the space, or leave this start out"
            )
        self.params[name] = choices[list(choices).index(value)]
        return self.params[name]

    def _number(self, name: str, domain: Range) -> float | None:
        value = self.settings.get(_place(name))
        if value is None:
            return None
        low, high, step = domain.low, domain.high, domain.step
        steps = 0.0 if step is None else (value - low) / step
        if not low <= value <= high or abs(steps - round(steps)) > 1e-6:
            by = "" if step is None else f" in steps of {step:g}"
            raise ConfigError(
                f"{self._dotted(name)}: must be in {low:g}..{high:g}{by} in the search space, "
                f"but got {shortened(value)}; widen the space, or leave this start out"
            )
        return float(value)

    @staticmethod
    def _dotted(name: str) -> str:
        return ".".join(part for part in _place(name) if part)


class Middle(Answers):
    """Takes fixed values, else the method ``none`` or the first value, and the middle of a range.

    Args:
        fixed: values by dimension; one that a dimension does not have is passed over.
    """

    def __init__(self, fixed: Mapping[str, Any]) -> None:
        super().__init__()
        self._fixed = fixed

    def answer(self, name: str, domain: Domain) -> Any:
        """Return the given value, or ``none`` if it is there, or the first, or the middle."""
        values: Sequence[Any]
        if isinstance(domain, Choice):
            values, plain = domain.values, "none" if "none" in domain.values else domain.values[0]
        else:
            values, plain = domain.numbers() or (), domain.middle()
        fixed = self._fixed.get(name, plain)
        self.params[name] = fixed if fixed in values else plain
        return self.params[name]
