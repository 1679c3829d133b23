"""The recipe: a typed, frozen description of one whole compression pipeline.

As a mapping (JSON or YAML), each stage names its method and gives the method's own settings
beside the stage's::

    prune:    {method: fpgm, amount: 0.5, scope: local, round_to: 8}
    quantize: {method: int8_static}
    distill:  {method: base, alpha: 0.9, temperature: 4.0}
    train:    {epochs: 3, lr: 0.01}

``method: none`` skips a stage.
"""

import dataclasses
import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from slimtune.compression.distillation import DISTILLATION, NoDistillation
from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION, NoQuantization
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.settings import settings
from slimtune.errors import ConfigError, UnknownNameError, did_you_mean, from_validation, shortened
from slimtune.registry import Registry


@settings
class Prune:
    """The pruning stage: which channels go, and how many."""

    method: Annotated[Any, Field(description="how channels are scored")]
    amount: Annotated[
        float, Field(ge=0, lt=1, description="fraction of channels removed; 1 would leave none")
    ] = 0.5
    scope: Annotated[
        Literal["local", "global"],
        Field(description="remove the amount in every group, or over all groups together"),
    ] = "local"
    round_to: Annotated[
        int,
        Field(ge=1, le=64, description="channels kept are a multiple of this; latency wants 8"),
    ] = 8


@settings
class Train:
    """Fine-tuning after surgery: SGD with Nesterov momentum, cosine decay to zero."""

    epochs: Annotated[int, Field(ge=0, le=1000, description="passes over the training split")] = 3
    lr: Annotated[float, Field(gt=0, le=10, description="first learning rate")] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1, description="Nesterov when above 0")] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1, description="on weights, not on norms")] = (
        5e-4
    )
    batch_size: Annotated[int, Field(ge=2, le=65536, description="images a step")] = 128
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of the target spread over all classes")
    ] = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One pipeline: prune, recover, quantize, distill, export.

    Attributes:
        prune: the pruning stage, or None to keep every channel.
        quantize: a registered quantizer.
        distill: a registered distillation method; acts in every fine-tune.
        train: the fine-tuning hyper-parameters.

    Raises:
        ConfigError: settings that contradict each other.
    """

    prune: Prune | None = None
    quantize: Quantizer = NoQuantization()
    distill: Distiller = NoDistillation()
    train: Train = Train()

    def __post_init__(self) -> None:
        if self.distill.needs_teacher and self.train.epochs == 0:
            raise ConfigError(
                "train.epochs: must be at least 1 with distillation, but got 0; "
                "train, or switch distillation off"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; `from_dict` reads it back to an equal recipe."""
        return {
            "prune": {"method": "none"} if self.prune is None else _prune_to_dict(self.prune),
            "quantize": _method_to_dict(self.quantize, QUANTIZATION),
            "distill": _method_to_dict(self.distill, DISTILLATION),
            "train": dataclasses.asdict(self.train),  # type: ignore[call-overload]
        }

    @classmethod
    def from_dict(cls, mapping: object) -> "Recipe":
        """Build a recipe from its JSON form; stages that are left out take their defaults.

        Raises:
            ConfigError: a stage or key that does not exist, or a value outside its range.
            UnknownNameError: a method that is not registered.
        """
        stages = _mapping(mapping, "recipe")
        known = ("prune", "quantize", "distill", "train")
        for key in stages:
            if key not in known:
                raise ConfigError(f"{key}: unknown key '{key}'.{did_you_mean(key, known)}")
        return cls(
            prune=_prune_from_dict(stages.get("prune", {"method": "none"})),
            quantize=_method_from_dict(stages.get("quantize", {}), QUANTIZATION, "quantize"),
            distill=_method_from_dict(stages.get("distill", {}), DISTILLATION, "distill"),
            train=_build(Train, _mapping(stages.get("train", {}), "train"), "train"),
        )

    def effective(self) -> "Recipe":
        """Return the recipe that does the same with nothing left that has no effect.

        Pruning nothing is no pruning, distilling with weight 0 is not distilling, and without
        an epoch no training setting matters. Two recipes with one effective form give, with
        one seed, one and the same file.
        """
        prune = self.prune if self.prune is not None and self.prune.amount > 0 else None
        distill = self.distill if self.distill.needs_teacher else NoDistillation()
        train = self.train if self.train.epochs > 0 else Train(epochs=0)
        return Recipe(prune=prune, quantize=self.quantize, distill=distill, train=train)

    def key(self) -> str:
        """Return a hexadecimal name of the effective recipe: equal names, equal pipelines."""
        text = json.dumps(self.effective().to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """Return the pipeline in a few words, such as ``"fpgm 50% → int8_static → base T=4"``."""
        words = []
        if self.prune is not None:
            words.append(f"{PRUNING.name_of(self.prune.method)} {self.prune.amount:.0%}")
        if not isinstance(self.quantize, NoQuantization):
            words.append(QUANTIZATION.name_of(self.quantize))
        if self.distill.needs_teacher:
            values = dataclasses.asdict(self.distill)  # type: ignore[call-overload]
            short = {"temperature": "T", "alpha": "α"}
            detail = " ".join(f"{short.get(k, k)}={v:g}" for k, v in reversed(values.items()))
            words.append(f"KD {DISTILLATION.name_of(self.distill)} {detail}".rstrip())
        return " → ".join(words) or ("fine-tuned" if self.train.epochs else "unchanged")


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must be a mapping, but got {shortened(value)}")
    return value


def _build(cls: type[Any], values: dict[str, Any], where: str) -> Any:
    try:
        return cls(**values)
    except ValidationError as error:
        names = [field.name for field in dataclasses.fields(cls)]
        raise from_validation(error, where, names) from None
    except TypeError as error:  # a key that is not a string
        raise ConfigError(f"{where}: {error}") from None


def _method_class(values: dict[str, Any], registry: Registry[Any], where: str) -> type[Any]:
    try:
        return registry[values.get("method", "none")]
    except UnknownNameError as error:
        raise UnknownNameError(f"{where}.method: {error}") from None


def _method_from_dict(value: object, registry: Registry[Any], where: str) -> Any:
    values = {"method": value} if isinstance(value, str) else _mapping(value, where)
    cls = _method_class(values, registry, where)
    return _build(cls, {k: v for k, v in values.items() if k != "method"}, where)


def _method_to_dict(method: object, registry: Registry[Any]) -> dict[str, Any]:
    return {"method": registry.name_of(method), **dataclasses.asdict(method)}  # type: ignore[call-overload]


def _prune_from_dict(value: object) -> Prune | None:
    values = {"method": value} if isinstance(value, str) else _mapping(value, "prune")
    if values.get("method", "none") == "none":
        for key in values.keys() - {"method"}:
            raise ConfigError(f"prune.{key}: needs a pruning method; set prune.method")
        return None
    cls = _method_class(values, PRUNING, "prune")
    stage_names = {field.name for field in dataclasses.fields(Prune)} - {"method"}  # type: ignore[arg-type]
    method_names = {field.name for field in dataclasses.fields(cls)}
    for key in values.keys() - stage_names - method_names - {"method"}:
        guess = did_you_mean(key, stage_names | method_names)
        raise ConfigError(f"prune.{key}: unknown key '{key}'.{guess}")
    method = _build(cls, {k: v for k, v in values.items() if k in method_names}, "prune")
    stage = {k: v for k, v in values.items() if k in stage_names}
    return _build(Prune, {"method": method, **stage}, "prune")


def _prune_to_dict(prune: Prune) -> dict[str, Any]:
    stage = {f.name: getattr(prune, f.name) for f in dataclasses.fields(prune)}  # type: ignore[arg-type]
    del stage["method"]
    return {**_method_to_dict(prune.method, PRUNING), **stage}
