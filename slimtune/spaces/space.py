"""The whole search space on one screen, and the recipe that a trial draws from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from slimtune.compression.recipe import Recipe
from slimtune.errors import ConfigError, UnknownNameError, did_you_mean, shortened
from slimtune.spaces.domains import Choice, Domain, Range, parse_domain

# One row a method: the dimensions of its own. A method without a row is not searched.
METHODS: dict[str, dict[str, dict[str, Domain]]] = {
    "prune": {
        "none": {},
        "l1": {},
        "fpgm": {},
    },
    "quantize": {
        "none": {},
        "int8_static": {"calibration_images": Choice((512,))},
    },
    "distill": {
        "none": {},
        "base": {
            "alpha": Range(0.1, 0.9, step=0.1),
            "temperature": Range(1, 8, step=1),
        },
    },
}

# Dimensions that belong to a stage, whatever its method.
STAGES: dict[str, dict[str, Domain]] = {
    "prune": {
        "amount": Range(0.1, 0.8, step=0.05),
        "scope": Choice(("local", "global")),
        "round_to": Choice((8,)),
    },
    "train": {
        "epochs": Choice((3,)),
        "lr": Range(0.003, 0.1, log=True),
        "momentum": Choice((0.9,)),
        "weight_decay": Choice((5e-4,)),
        "batch_size": Choice((128,)),
        "label_smoothing": Choice((0.0,)),
    },
}


@dataclass(frozen=True)
class Space:
    """Which recipes a search may propose.

    Attributes:
        methods: stage -> method -> the method's own dimensions.
        stages: stage -> dimensions that hold for all its methods.
    """

    methods: Mapping[str, Mapping[str, Mapping[str, Domain]]] = field(
        default_factory=lambda: METHODS
    )
    stages: Mapping[str, Mapping[str, Domain]] = field(default_factory=lambda: STAGES)

    @classmethod
    def restricted(cls, restriction: object) -> "Space":
        """Return the default space, narrowed or widened by a mapping from YAML.

        ``{prune: {method: [none, l1], amount: [0.2, 0.6]}, train: {epochs: 1}}`` leaves every
        dimension that is not named as it is.

        Raises:
            ConfigError: an unknown stage or dimension, an empty choice, low above high, or a
                value that no recipe may have; the message begins with ``space.``.
            UnknownNameError: a method that is not in the space.
        """
        if not isinstance(restriction, Mapping):
            raise ConfigError(f"space: must be a mapping, but got {shortened(restriction)}")
        methods = {stage: dict(rows) for stage, rows in METHODS.items()}
        stages = {stage: dict(row) for stage, row in STAGES.items()}
        known = [*METHODS, "train"]
        for stage, wanted in restriction.items():
            if stage not in known:
                raise ConfigError(f"space.{stage}: unknown stage.{did_you_mean(stage, known)}")
            if not isinstance(wanted, Mapping):
                raise ConfigError(f"space.{stage}: must be a mapping, but got {shortened(wanted)}")
            for key, value in wanted.items():
                _restrict(methods.get(stage, {}), stages.setdefault(stage, {}), stage, key, value)
        space = cls(methods, stages)
        space.check()
        return space

    def check(self) -> None:
        """Build every method with both ends of every dimension.

        Raises:
            ConfigError: a value that no recipe may have.
        """
        for stage, rows in self.methods.items():
            for method, own in rows.items():
                shared = {} if method == "none" else self.stages.get(stage, {})
                for name, domain in {**shared, **own}.items():
                    _check_ends(stage, {"method": method}, name, domain)
        for name, domain in self.stages["train"].items():
            _check_ends("train", {}, name, domain)
        for epochs in self.stages["train"]["epochs"].ends():
            for method in self.methods["distill"]:
                _check_recipe({"train": {"epochs": epochs}, "distill": {"method": method}})

    def prunes(self) -> bool:
        """Return whether any recipe of the space removes channels."""
        return set(self.methods["prune"]) != {"none"}


def suggest_recipe(trial: optuna.Trial, space: Space) -> Recipe:
    """Draw one recipe.

    Nothing pruned and no teacher leaves nothing to recover and nothing to learn: such a recipe
    is not fine-tuned, so that "quantize only" means the baseline's own weights.
    """
    stages: dict[str, dict[str, Any]] = {}
    for stage, rows in space.methods.items():
        method = Choice(tuple(rows)).suggest(trial, f"{stage}.method")
        stages[stage] = {"method": method}
        if method == "none":
            continue
        for name, domain in space.stages.get(stage, {}).items():
            stages[stage][name] = domain.suggest(trial, f"{stage}.{name}")
        for name, domain in rows[method].items():
            stages[stage][name] = domain.suggest(trial, f"{stage}.{method}.{name}")
    if stages["prune"]["method"] == "none" and stages["distill"]["method"] == "none":
        stages["train"] = {"epochs": 0}
    else:
        train = space.stages["train"].items()
        stages["train"] = {name: domain.suggest(trial, f"train.{name}") for name, domain in train}
    return Recipe.from_dict(stages)


def _restrict(
    methods: dict[str, Any], row: dict[str, Domain], stage: str, key: str, value: object
) -> None:
    """Apply one ``stage: {key: value}`` of a restriction to the stage's rows, in place."""
    where = f"space.{stage}.{key}"
    if key == "method" and methods:
        _choose_methods(methods, stage, value)
        return
    owners = [method for method, own in methods.items() if key in own]
    if key not in row and not owners:
        names = ["method", *row, *(name for own in methods.values() for name in own)]
        raise ConfigError(f"{where}: unknown dimension '{key}'.{did_you_mean(key, names)}")
    try:
        if key in row:
            row[key] = parse_domain(value, row[key])
        for method in owners:
            methods[method] = {**methods[method], key: parse_domain(value, methods[method][key])}
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _choose_methods(methods: dict[str, Any], stage: str, value: object) -> None:
    names = value if isinstance(value, list | tuple) else [value]
    if not names:
        raise ConfigError(f"space.{stage}.method: give at least one method")
    for name in names:
        if not isinstance(name, str) or name not in methods:
            guess = did_you_mean(str(name), methods)
            raise UnknownNameError(
                f"space.{stage}.method: unknown method {shortened(name)}.{guess} "
                f"Known: {', '.join(methods)}."
            )
    for name in list(methods):
        if name not in names:
            del methods[name]


def _check_ends(stage: str, base: dict[str, Any], name: str, domain: Domain) -> None:
    for value in domain.ends():
        _check_recipe({stage: {**base, name: value}})


def _check_recipe(stages: dict[str, Any]) -> None:
    try:
        Recipe.from_dict(stages)
    except ConfigError as error:
        raise ConfigError(f"space.{error}") from None
