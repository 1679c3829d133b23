"""The whole search space on one screen, and the recipe that a trial draws from it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.recipe import NO_AMOUNT, Order, Recipe
from slimtune.compression.stages import BASELINE
from slimtune.errors import ConfigError, UnknownNameError, did_you_mean, shortened
from slimtune.registry import Registry
from slimtune.spaces.domains import Choice, Domain, Drawing, Range, parse_domain
from slimtune.spaces.narrowing import in_order, narrowed, recalibrated, removes_weights

RECALIBRATE = Choice((None, True))
"""None is on where nothing is trained and off elsewhere, see `Recipe.effective`."""

# One row a method: the dimensions of its own.
METHODS: dict[str, dict[str, dict[str, Domain]]] = {
    "prune": {
        "none": {},
        "l1": {},
        "l2": {},
        "fpgm": {},
        "bn_scale": {"sparsity": Choice((1e-3, 1e-2)), "sparsity_epochs": Choice((1,))},
        "group_norm": {"sparsity": Choice((5e-4,)), "sparsity_epochs": Choice((0,))},
        "taylor": {},
        "lamp": {},
        "random": {},
        "l1_unstructured": {"ends": Choice((False,))},
        "n_m": {"n": Choice((2,)), "m": Choice((4,))},
    },
    "quantize": {
        "none": {},
        "int8_static": {"calibration_images": Choice((512,))},
        "int8_dynamic": {},
        "float16": {},
        "rtn": {"bits": Choice((8, 4)), "granularity": Choice(("channel",))},
        "gpfq": {
            "bits": Choice((4, 3)),
            "c": Choice((0.9,)),
            "stage_bits": Choice(("",)),
            "first_last_bits": Choice((8,)),
        },
        "lsq": {"bits": Choice((4, 3)), "activation_bits": Choice((8,)), "epochs": Choice((3,))},
        "pact": {"bits": Choice((4, 3)), "activation_bits": Choice((8,)), "epochs": Choice((3,))},
        "dorefa": {
            "bits": Choice((4, 3)),
            "activation_bits": Choice((8,)),
            "epochs": Choice((3,)),
        },
        "apot": {"bits": Choice((4, 3)), "activation_bits": Choice((8,)), "epochs": Choice((3,))},
    },
    "distill": {
        "none": {},
        "base": {
            "alpha": Range(0.1, 0.9, step=0.1),
            "temperature": Range(1, 8, step=1),
        },
        "fmse": {
            "alpha": Choice((0.9,)),
            "temperature": Choice((4.0,)),
            "feature_weight": Range(1.0, 100.0, log=True),
        },
        "gram": {
            "alpha": Choice((0.9,)),
            "temperature": Choice((4.0,)),
            "feature_weight": Range(1.0, 100.0, log=True),
        },
        "dkd": {
            "rest_weight": Choice((1.0, 2.0, 4.0, 8.0)),
            "temperature": Choice((4.0,)),
        },
        "dml": {"peer_weight": Choice((1.0,))},
        "attention": {
            "alpha": Choice((0.0, 0.9)),
            "attention_weight": Range(100.0, 10000.0, log=True),
        },
        "dist": {"temperature": Choice((1.0, 4.0))},
        "logit_std": {
            "logit_weight": Range(1.0, 16.0, log=True),
            "temperature": Range(2, 4, step=1),
        },
    },
}

# What is searched unless a space says otherwise; `method: all` takes every row above.
DEFAULT: dict[str, tuple[str, ...]] = {
    "prune": ("none", "l1", "fpgm", "group_norm", "taylor"),
    "quantize": ("none", "int8_static", "gpfq", "apot"),
    "distill": ("none", "base", "dkd", "attention"),
}

# Dimensions that belong to a stage, whatever its method.
STAGES: dict[str, dict[str, Domain]] = {
    "student": {
        "model": Choice(("baseline",)),
        "weights": Choice((None,)),
    },
    "prune": {
        "amount": Range(0.1, 0.8, step=0.05),
        "scope": Choice(("local", "global")),
        "round_to": Choice((8,)),
        "schedule": Choice(("one_shot",)),
        "steps": Choice((3,)),
        "step_epochs": Choice((1,)),
        "rate": Choice((0.05,)),
    },
    "train": {
        "epochs": Choice((3,)),
        "lr": Range(0.003, 0.1, log=True),
        "momentum": Choice((0.9,)),
        "weight_decay": Choice((5e-4,)),
        "batch_size": Choice((128,)),
        "label_smoothing": Choice((0.0,)),
        "optimizer": Choice(("sgd",)),
        "schedule": Choice(("cosine",)),
        "decay": Choice((0.1,)),
        "mixup": Choice((0.0,)),
        "dropout": Choice((0.0,)),
        "recalibrate": RECALIBRATE,
    },
}

ORDER = Choice(("ppq",))
_REGISTRIES: dict[str, Registry[Any]] = {
    "prune": PRUNING,
    "quantize": QUANTIZATION,
    "distill": DISTILLATION,
}


@dataclass(frozen=True)
class Space:
    """Which recipes a search may propose.

    Attributes:
        methods: stage -> method -> the method's own dimensions.
        stages: stage -> dimensions that hold for all its methods.
        order: ``"ppq"``, ``"spq"`` or both.
    """

    methods: Mapping[str, Mapping[str, Mapping[str, Domain]]] = field(
        default_factory=lambda: _chosen(DEFAULT)
    )
    stages: Mapping[str, Mapping[str, Domain]] = field(default_factory=lambda: STAGES)
    order: Domain = ORDER

    @classmethod
    def restricted(cls, restriction: object, listed: bool = False) -> "Space":
        """Return the default space, narrowed or widened by a mapping from YAML.

        ``{prune: {method: [none, l1], amount: [0.2, 0.6]}, train: {epochs: 1}}`` leaves every
        dimension that is not named as it is.

        Args:
            restriction: stage -> dimension -> values.
            listed: a list of two numbers is two values, as in a grid, and not a range.

        Raises:
            ConfigError: an unknown stage or dimension, an empty choice, low above high, or a
                value that no recipe may have; the message begins with ``space.``.
            UnknownNameError: a method that is not in the space.
        """
        if not isinstance(restriction, Mapping):
            raise ConfigError(f"space: must be a mapping, but got {shortened(restriction)}")
        chosen = {s: _names(s, restriction.get(s), DEFAULT[s]) for s in METHODS}
        methods = _chosen(chosen)
        stages = {stage: dict(row) for stage, row in STAGES.items()}
        if listed:  # a grid would hold every recipe twice, though nobody asked for it
            stages["train"]["recalibrate"] = Choice((None,))
        order: Domain = ORDER
        known = [*METHODS, "student", "train", "order"]
        for stage, wanted in restriction.items():
            if stage not in known:
                raise ConfigError(f"space.{stage}: unknown stage.{did_you_mean(stage, known)}")
            if stage == "order":
                order = parse_domain(wanted, ORDER)
                continue
            if not isinstance(wanted, Mapping):
                raise ConfigError(f"space.{stage}: must be a mapping, but got {shortened(wanted)}")
            rows = (methods.get(stage, {}), stages.setdefault(stage, {}))
            for key, value in wanted.items():
                if key in METHODS.get(stage, {}):
                    _restrict_one(rows[0], stage, key, value, listed=listed)
                    continue
                parse = partial(parse_domain, value, listed=listed)
                _restrict(*rows, stage=stage, key=key, parse=parse)
        pruning = stages["prune"]
        amounts = pruning["amount"] != STAGES["prune"]["amount"]
        if amounts and pruning["schedule"].ends() == ("per_epoch",):
            raise ConfigError(f"space.{NO_AMOUNT}")
        space = cls(methods, stages, order)
        space.check()
        return space

    def check(self) -> None:
        """Build every method with both ends of every dimension.

        Raises:
            ConfigError: a value that no recipe may have.
        """
        for order in self.order.ends():
            if order not in get_args(Order):
                raise ConfigError(f"space.order: must be ppq or spq, but got {shortened(order)}")
        for stage, rows in self.methods.items():
            for method, own in rows.items():
                shared = {} if method == "none" else self.stages.get(stage, {})
                for name, domain in {**shared, **own}.items():
                    fitting = narrowed(domain, stage, name, method)
                    _check_ends(stage, {"method": method}, name, fitting)
        for stage in ("student", "train"):
            for name, domain in self.stages[stage].items():
                base = {"model": self.stages["student"]["model"].ends()[0]}
                _check_ends(stage, base if stage == "student" else {}, name, domain)
        for epochs in self.stages["train"]["epochs"].ends():
            for method in self.methods["distill"]:
                _check_recipe({"train": {"epochs": epochs}, "distill": {"method": method}})
            self._check_soft(epochs)

    def _check_soft(self, epochs: Any) -> None:
        """Check that there are epochs to prune in, if any recipe prunes while it is trained."""
        cuts = (m for m in self.methods["prune"] if m != "none" and not removes_weights(m))
        learned = (m for m in self.methods["quantize"] if QUANTIZATION[m].trains)
        cut, quantizer = next(cuts, None), next(learned, None)
        stages: dict[str, Any] = {"train": {"epochs": epochs}, "prune": {"method": cut}}
        if cut is not None:
            for schedule in self.stages["prune"]["schedule"].ends():
                _check_recipe({**stages, "prune": {"method": cut, "schedule": schedule}})
        if cut is not None and quantizer is not None:
            for order in self.order.ends():
                _check_recipe({**stages, "quantize": quantizer, "order": order})


def suggest_recipe(trial: Drawing, space: Space) -> Recipe:
    """Draw one recipe.

    Combinations that no recipe may have are never drawn: order ``spq`` needs a quantizer that
    learns, and single weights are removed neither softly nor stage by stage. Nothing pruned,
    no teacher and the baseline's own weights leave nothing to recover: such a recipe is not
    trained before it is quantized, so that "quantize only" means the baseline's own weights.
    ``recalibrate`` is drawn last, where its values make different recipes.
    """
    stages: dict[str, Any] = {}
    stages["student"] = _drawn(trial, space.stages["student"], "student")
    for stage, rows in space.methods.items():
        method = Choice(tuple(rows)).suggest(trial, f"{stage}.method")
        stages[stage] = {"method": method}
        if method == "none":
            continue
        for name, domain in in_order(space.stages.get(stage, {})):
            if name == ("amount" if stages[stage].get("schedule") == "per_epoch" else "rate"):
                continue
            fitting = narrowed(domain, stage, name, method)
            # Optuna knows one set of choices by one name.
            owner = stage if fitting == domain else f"{stage}.{method}"
            stages[stage] |= _drawn(trial, {name: fitting}, owner)
        stages[stage] |= _drawn(trial, rows[method], f"{stage}.{method}")
    stages["order"] = "ppq"
    learned = QUANTIZATION[stages["quantize"]["method"]].trains
    if learned and not removes_weights(stages["prune"]["method"]):
        stages["order"] = space.order.suggest(trial, "order")
    untouched = stages["prune"]["method"] == stages["distill"]["method"] == "none"
    untouched &= stages["student"]["model"] == BASELINE and stages["order"] == "ppq"
    stages["train"] = {"epochs": 0}
    train = {n: domain for n, domain in space.stages["train"].items() if n != "recalibrate"}
    if not untouched or learned:
        stages["train"] = _drawn(trial, train, "train")
    if DISTILLATION[stages["distill"]["method"]].hard_labels:
        stages["train"]["label_smoothing"] = 0.0
    if untouched:
        stages["train"]["epochs"] = 0
    return recalibrated(trial, Recipe.from_dict(stages), space.stages["train"]["recalibrate"])


def _drawn(trial: Drawing, row: Mapping[str, Domain], prefix: str) -> dict[str, Any]:
    return {name: domain.suggest(trial, f"{prefix}.{name}") for name, domain in row.items()}


def _chosen(names: Mapping[str, Iterable[str]]) -> dict[str, dict[str, dict[str, Domain]]]:
    """Return the rows of the named methods, in the order of `METHODS`."""
    return {
        stage: {name: dict(row) for name, row in rows.items() if name in names[stage]}
        for stage, rows in METHODS.items()
    }


def _names(stage: str, wanted: object, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the methods that a restriction names, or the default's."""
    value = wanted.get("method", default) if isinstance(wanted, Mapping) else default
    names = value if isinstance(value, list | tuple) else [value]
    if names == ["all"]:
        return tuple(METHODS[stage])
    if not names:
        raise ConfigError(f"space.{stage}.method: give at least one method")
    for name in names:
        if not isinstance(name, str) or name not in METHODS[stage]:
            known = METHODS[stage]
            raise UnknownNameError(
                f"space.{stage}.method: unknown method {shortened(name)}."
                f"{did_you_mean(str(name), known)} Known: {', '.join(known)}, or all."
            )
    return tuple(names)


def _restrict_one(
    methods: dict[str, Any], stage: str, method: str, wanted: object, *, listed: bool
) -> None:
    """Apply one ``stage: {method: {key: value}}``, which leaves other methods as they are."""
    where = f"space.{stage}.{method}"
    if not isinstance(wanted, Mapping):
        raise ConfigError(f"{where}: must be a mapping, but got {shortened(wanted)}")
    if method not in methods:
        raise ConfigError(f"{where}: not among the methods of the space; add it to method")
    own = {method: methods[method]}
    for key, value in wanted.items():
        if key == "method":
            raise ConfigError(f"{where}.method: is {method} already; leave it out")
        try:
            parse = partial(parse_domain, value, listed=listed)
            _restrict(own, {}, stage=stage, key=key, parse=parse)
        except ConfigError as error:
            message = str(error).removeprefix(f"space.{stage}.{key}")
            raise ConfigError(f"{where}.{key}{message}") from None
    methods.update(own)


def _restrict(
    methods: dict[str, Any],
    row: dict[str, Domain],
    *,
    stage: str,
    key: str,
    parse: Callable[[Domain | None], Domain],
) -> None:
    """Apply one ``stage: {key: value}`` of a restriction to the stage's rows, in place."""
    where = f"space.{stage}.{key}"
    if key == "method" and methods:
        return  # chosen already
    settings = {m: _settings_of(stage, m) for m in methods} if stage in METHODS else {}
    owners = [method for method, names in settings.items() if key in names]
    if key not in row and not owners:
        names = ["method", *row, *(name for known in settings.values() for name in known)]
        raise ConfigError(f"{where}: unknown dimension '{key}'.{did_you_mean(key, names)}")
    try:
        if key in row:
            row[key] = parse(row[key])
        wanted = {method: parse(methods[method].get(key)) for method in owners}
        for method in owners:
            fitting = _shared_out(wanted, stage, method, key)
            methods[method] = {**methods[method], key: fitting}
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _shared_out(wanted: Mapping[str, Domain], stage: str, method: str, key: str) -> Domain:
    """Return a method's share of a choice: without what it refuses and another method takes.

    Not every quantizer has every bit width; a value that none has is left for `Space.check`.
    """
    domain = wanted[method]
    if not isinstance(domain, Choice):
        return domain
    own = [_takes(stage, method, key, v) for v in domain.values]
    others = [any(_takes(stage, other, key, v) for other in wanted) for v in domain.values]
    shares = zip(domain.values, own, others, strict=True)
    values = tuple(value for value, mine, taken in shares if mine or not taken)
    return Choice(values) if values else domain


def _takes(stage: str, method: str, key: str, value: Any) -> bool:
    try:
        _REGISTRIES[stage][method](**{key: value})
    except ValueError:  # pydantic's own is one
        return False
    return True


def _settings_of(stage: str, method: str) -> tuple[str, ...]:
    """Return the names of a method's own settings, searched by default or not."""
    if stage == "prune" and method == "none":
        return ()
    return tuple(field.name for field in dataclasses.fields(_REGISTRIES[stage][method]))


def _check_ends(stage: str, base: dict[str, Any], name: str, domain: Domain) -> None:
    for value in domain.ends():
        _check_recipe({stage: {**base, name: value}})


def _check_recipe(stages: dict[str, Any]) -> None:
    try:
        Recipe.from_dict(stages)
    except ConfigError as error:
        raise ConfigError(f"space.{error}") from None
