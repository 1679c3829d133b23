"""The recipe: a typed, frozen description of one whole compression pipeline.

As a mapping (JSON or YAML), each stage names its method and gives the method's own settings
beside the stage's::

    student:  {model: baseline}
    prune:    {method: fpgm, amount: 0.5, scope: local, round_to: 8}
    quantize: {method: int8_static}
    distill:  {method: base, alpha: 0.9, temperature: 4.0}
    train:    {epochs: 3, lr: 0.01}
    order:    ppq

``method: none`` skips a stage. Order ``ppq`` prunes, recovers, then quantizes; ``spq`` quantizes
first and prunes at the end of each epoch while the quantized network is trained.
"""

import dataclasses
import hashlib
import json
from typing import Any, Literal, get_args

from pydantic import ValidationError

from slimtune.compression.distillation import DISTILLATION, NoDistillation
from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.stage.schedules import gone_after
from slimtune.compression.quantization import QUANTIZATION, NoQuantization
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.stages import BASELINE, Prune, Student, Train
from slimtune.errors import ConfigError, UnknownNameError, did_you_mean, from_validation, shortened
from slimtune.registry import Registry

Order = Literal["ppq", "spq"]
DURING_TRAINING = ("soft", "per_epoch")
"""Schedules of pruning that go on while the network is trained."""
NO_AMOUNT = (
    "prune.amount: with schedule per_epoch, prune.rate and train.epochs decide how much is "
    "removed; leave amount out"
)
_STAGES = ("student", "prune", "quantize", "distill", "train", "order")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One pipeline: prune, recover, quantize, distill, export.

    Attributes:
        student: which network is compressed.
        prune: the pruning stage, or None to keep every channel and weight.
        quantize: a registered quantizer.
        distill: a registered distillation method; acts in every fine-tune.
        train: the fine-tuning hyper-parameters.
        order: ``"ppq"`` or ``"spq"``, see above.

    Raises:
        ConfigError: settings that contradict each other.
    """

    student: Student = Student()
    prune: Prune | None = None
    quantize: Quantizer = NoQuantization()
    distill: Distiller = NoDistillation()
    train: Train = Train()
    order: Order = "ppq"

    def __post_init__(self) -> None:
        check_rules(self)

    @property
    def epochs(self) -> int:
        """Epochs of fine-tuning in all, the quantizer's and those between steps included."""
        between = 0
        if self.prune is not None and self.in_steps:
            between = self.prune.step_epochs * (self.prune.steps - 1)
        return between + self.train.epochs + self.quantize.epochs

    @property
    def in_steps(self) -> bool:
        """Whether pruning goes in steps with recovery between them."""
        return self.prune is not None and not self.softly and self.prune.schedule == "incremental"

    @property
    def softly(self) -> bool:
        """Whether pruning goes on during the fine-tune: always so with order ``spq``."""
        during = self.prune is not None and self.prune.schedule in DURING_TRAINING
        return during or (self.prune is not None and self.order == "spq")

    @property
    def amount(self) -> float:
        """Fraction of channels or weights that pruning removes in all; 0 without pruning."""
        if self.prune is None:
            return 0.0
        if self.prune.schedule == "per_epoch":
            return gone_after(self.prune.rate, self.train.epochs)
        return self.prune.amount

    @property
    def _is_fine_tuned_float(self) -> bool:
        """Whether the baseline is fine-tuned and then quantized, and nothing else is done.

        No other word of `describe` tells that a network is trained before it is quantized.
        """
        quantized = self.quantize.bits < 32 and not self.quantize.trains
        changed = self.prune is not None or self.distill.needs_teacher
        own = self.student.model == BASELINE
        return quantized and own and not changed and self.train.epochs > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; `from_dict` reads it back to an equal recipe."""
        return {
            "student": dataclasses.asdict(self.student),  # type: ignore[call-overload]
            "prune": {"method": "none"} if self.prune is None else _prune_to_dict(self.prune),
            "quantize": _method_to_dict(self.quantize, QUANTIZATION),
            "distill": _method_to_dict(self.distill, DISTILLATION),
            "train": dataclasses.asdict(self.train),  # type: ignore[call-overload]
            "order": self.order,
        }

    @classmethod
    def from_dict(cls, mapping: object) -> "Recipe":
        """Build a recipe from its JSON form; stages that are left out take their defaults.

        Raises:
            ConfigError: a stage or key that does not exist, or a value outside its range.
            UnknownNameError: a method that is not registered.
        """
        stages = _mapping(mapping, "recipe")
        for key in stages:
            if key not in _STAGES:
                raise ConfigError(f"{key}: unknown key '{key}'.{did_you_mean(key, _STAGES)}")
        order = stages.get("order", "ppq")
        if order not in get_args(Order):
            raise ConfigError(f"order: must be ppq or spq, but got {shortened(order)}")
        return cls(
            student=_student_from_dict(stages.get("student", {})),
            prune=_prune_from_dict(stages.get("prune", {"method": "none"})),
            quantize=_method_from_dict(stages.get("quantize", {}), QUANTIZATION, "quantize"),
            distill=_method_from_dict(stages.get("distill", {}), DISTILLATION, "distill"),
            train=_build(Train, _mapping(stages.get("train", {}), "train"), "train"),
            order=order,
        )

    def effective(self) -> "Recipe":
        """Return the recipe that does the same with nothing left that has no effect.

        Pruning nothing is no pruning, distilling with weight 0 is not distilling, and without
        an epoch no training setting matters. `compress` carries out the effective form, so two
        recipes with the same one give, with one seed, one and the same file.
        """
        untaught = dataclasses.replace(
            self,
            prune=_effective_prune(self),
            quantize=_effective_quantizer(self.quantize),
            distill=NoDistillation(),
        )
        taught = self.distill.needs_teacher and untaught.epochs > 0
        together = untaught.prune is not None or self.train.epochs > 0
        return dataclasses.replace(
            untaught,
            train=_effective_train(untaught),
            distill=self.distill if taught else NoDistillation(),
            order=self.order if self.quantize.trains and together else "ppq",
        )

    def key(self) -> str:
        """Return a hexadecimal name of the effective recipe: equal names, equal pipelines."""
        text = json.dumps(self.effective().to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self, removed: float | None = None) -> str:
        """Return the pipeline in a few words, such as ``"fpgm 50% → int8_static → base T=4"``.

        Args:
            removed: share of the MACs that went with the channels, in 0..1, where it is known:
                ``"fpgm 50% (-74% MACs)"``. What was asked for is rounded, layer by layer.
        """
        words = [] if self.student.model == BASELINE else [self.student.model]
        if self._is_fine_tuned_float:
            words.append("fine-tuned")
        if self.prune is not None:
            words.append(f"{PRUNING.name_of(self.prune.method)}{_amount_words(self, removed)}")
        if not isinstance(self.quantize, NoQuantization):
            name = QUANTIZATION.name_of(self.quantize)
            width = getattr(self.quantize, "stage_bits", "") or str(self.quantize.bits)
            bits = "" if width in name else f" {width}b"
            words.append(name + bits)
            if self.order == "spq" and self.prune is not None:
                words = [*words[:-2], f"{words[-2]} with {words[-1]}"]
        if self.distill.needs_teacher:
            detail = " ".join(_distillation_words(self.distill))
            words.append(f"KD {DISTILLATION.name_of(self.distill)} {detail}".rstrip())
        if self.epochs and self.train.mixup:
            words.append(f"mixup {self.train.mixup:g}")
        if self.epochs and self.train.optimizer != "sgd":
            words.append(self.train.optimizer)
        if self.epochs and self.train.recalibrate:
            words.append("recalibrated")
        return " → ".join(words) or ("fine-tuned" if self.epochs else "unchanged")


def _amount_words(recipe: Recipe, removed: float | None) -> str:
    if recipe.prune is None or not recipe.prune.method.uses_amount:
        return ""
    notes = []
    if recipe.prune.schedule == "per_epoch":
        notes.append(f"{100 * recipe.prune.rate:.3g}% an epoch")
    if removed is not None:
        share = f"-{removed:.{0 if removed >= 0.01 else 1}%} MACs"
        notes.append(share if removed > 0 else "nothing removed")
    return f" {recipe.amount:.0%}" + (f" ({', '.join(notes)})" if notes else "")


def _effective_prune(recipe: Recipe) -> Prune | None:
    """Return the pruning stage with every setting that has no effect at its default."""
    prune = recipe.prune
    if prune is None or recipe.amount == 0:
        return None
    idle = ["amount" if prune.schedule == "per_epoch" else "rate"]
    if not recipe.in_steps:
        idle += ["steps", "step_epochs"]
    if prune.method.removes == "weights":
        idle += ["round_to"]
    if not prune.method.uses_amount:
        idle += ["amount", "scope"]
    if not prune.method.sparsity_epochs:
        prune = dataclasses.replace(prune, method=_without(prune.method, "sparsity"))
    if recipe.softly and prune.schedule != "per_epoch":  # order spq prunes so, whatever it says
        prune = dataclasses.replace(prune, schedule="soft")
    effective: Prune = _without(prune, *idle)
    return effective


def _effective_quantizer(quantize: Quantizer) -> Quantizer:
    """Return the quantizer with every setting that has no effect at its default."""
    if quantize.trains and not quantize.epochs:
        quantize = _without(quantize, "lr")
    if getattr(quantize, "stage_bits", ""):  # says it of every layer but the first and the last
        quantize = _without(quantize, "bits")
    return quantize


def _effective_train(recipe: Recipe) -> Train:
    """Return the training settings with every one that has no effect at its default."""
    train, prune = recipe.train, recipe.prune
    sparse = prune.method.sparsity_epochs if prune is not None else 0
    if train.recalibrate is None:
        changed = prune is not None or recipe.quantize.bits <= 8
        untrained = recipe.epochs + sparse == 0
        train = dataclasses.replace(train, recalibrate=changed and untrained)
    if recipe.epochs + sparse == 0:
        return Train(epochs=0, recalibrate=train.recalibrate)
    if recipe.epochs + sparse == recipe.quantize.epochs:
        train = _without(train, "lr")  # the quantizer has its own
    if train.schedule not in ("step", "exponential"):
        train = _without(train, "decay")
    return train


def _without(settings: Any, *names: str) -> Any:
    """Return ``settings`` with those of these names that it has at their defaults."""
    defaults = _defaults(settings)
    return dataclasses.replace(settings, **{n: defaults[n] for n in names if n in defaults})


def _defaults(settings: Any) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(settings)}


def check_rules(recipe: Recipe) -> None:
    """Check the rules that hold between stages.

    Raises:
        ConfigError: the first that is broken.
    """
    if recipe.distill.needs_teacher and recipe.epochs == 0:
        raise ConfigError(
            "train.epochs: must be at least 1 with distillation, but got 0; "
            "train, or set distill.method to none"
        )
    if recipe.distill.hard_labels and recipe.train.label_smoothing > 0:
        raise ConfigError(
            f"distill.{DISTILLATION.name_of(recipe.distill)}: needs hard labels, but "
            f"train.label_smoothing is {recipe.train.label_smoothing}; set it to 0"
        )
    if recipe.student.weights is not None and recipe.student.model == BASELINE:
        raise ConfigError("student.weights: the baseline has its own; name another student.model")
    if recipe.prune is not None:
        _check_prune(recipe, recipe.prune)
    if recipe.order == "spq" and not recipe.quantize.trains:
        learned = ", ".join(name for name in QUANTIZATION if QUANTIZATION[name].trains)
        raise ConfigError(
            f"order: spq trains the quantized network, but quantize.method is "
            f"{QUANTIZATION.name_of(recipe.quantize)}; use one of {learned}, or order ppq"
        )


def _check_prune(recipe: Recipe, prune: Prune) -> None:
    name = PRUNING.name_of(prune.method)
    if prune.schedule == "per_epoch" and prune.amount != _defaults(Prune)["amount"]:
        raise ConfigError(NO_AMOUNT)
    if recipe.softly and recipe.train.epochs == 0:
        raise ConfigError(
            "train.epochs: must be at least 1 to prune during training (schedule soft or "
            "per_epoch, or order spq), but got 0; train, or use another schedule"
        )
    if prune.method.removes == "weights" and recipe.softly:
        raise ConfigError(
            f"prune.schedule: {name} removes single weights, which schedules soft and per_epoch "
            "and order spq do not; use one_shot or incremental with order ppq"
        )
    if prune.method.removes == "weights" and prune.scope == "stage":
        raise ConfigError(
            f"prune.scope: {name} removes single weights, for which there is no scope stage; "
            "use local or global"
        )


def _distillation_words(distill: Distiller) -> list[str]:
    """Return temperature and alpha, and what else differs from the method's defaults."""
    short = {"temperature": "T", "alpha": "α"}
    default = type(distill)()
    return [
        f"{short.get(field.name, field.name)}={getattr(distill, field.name):g}"
        for field in reversed(dataclasses.fields(distill))  # type: ignore[arg-type]
        if field.name in short or getattr(distill, field.name) != getattr(default, field.name)
    ]


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


def _student_from_dict(value: object) -> Any:
    values = {"model": value} if isinstance(value, str) else _mapping(value, "student")
    return _build(Student, values, "student")


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
    if values.get("schedule") == "per_epoch" and "amount" in values:
        raise ConfigError(NO_AMOUNT)
    method = _build(cls, {k: v for k, v in values.items() if k in method_names}, "prune")
    stage = {k: v for k, v in values.items() if k in stage_names}
    return _build(Prune, {"method": method, **stage}, "prune")


def _prune_to_dict(prune: Prune) -> dict[str, Any]:
    stage = {f.name: getattr(prune, f.name) for f in dataclasses.fields(prune)}  # type: ignore[arg-type]
    del stage["method"]
    if prune.schedule == "per_epoch":
        del stage["amount"]
    elif prune.rate == _defaults(Prune)["rate"]:
        del stage["rate"]  # recipes older than this setting keep their keys
    return {**_method_to_dict(prune.method, PRUNING), **stage}
