"""The settings of a search, validated in one place and stored with the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from slimtune.compression.stages import Train
from slimtune.errors import UserError, from_validation, shortened
from slimtune.results.objectives import can_foresee, parse_objectives
from slimtune.results.pareto.limit_view import REMOVED
from slimtune.results.pareto.limits import parse_limit
from slimtune.search.settings.final import FinalSettings, check_final
from slimtune.search.settings.layered import merged, without_none
from slimtune.search.settings.per_trial import Duration, PerTrialSettings
from slimtune.search.settings.preprocessing import PreprocessingSettings, with_preprocessing
from slimtune.search.settings.references import (
    anchored_code,
    anchored_data,
    anchored_file,
    anchored_metric,
    anchored_networks,
)
from slimtune.search.settings.stage_room import StageRoom
from slimtune.spaces.grid import grid_points
from slimtune.spaces.presets import PRESETS
from slimtune.spaces.space import Space
from slimtune.spaces.start import SHARE, read_points
from slimtune.spaces.untrained import first_points

SamplerName = Literal["tpe", "nsga2", "nsga3", "random", "grid", "qmc"]
POPULATION = 20
"""Trials in a generation of NSGA; it does not depend on the number of trials, which may grow."""
DEFAULT_TRIALS = 20
DEFAULT_DATA = "cifar10"
MODELS = "a zoo name, torchvision:NAME, timm:NAME, FILE.py:NAME or MODULE:NAME"
DATA = (
    "digits, cifar10, cifar100, folder:DIR, parquet:DIR, npz:FILE, torchvision:NAME, FILE.py:NAME "
    "or MODULE:NAME; then @size=HxW,channels=1,flip=0,mean=M,std=S"
)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ValidationSettings(_Settings):
    """Where the images come from that the search selects on."""

    source: Annotated[
        Literal["auto", "train", "test"],
        Field(description="auto: train if slimtune trains the baseline, test with given weights"),
    ] = "auto"
    fraction: Annotated[
        float | None,
        Field(
            gt=0, lt=1, description="share that is taken; if unset, 0.2 of train or 0.5 of test"
        ),
    ] = None


class BaselineSettings(_Settings):
    """How the baseline is trained when no weights are given."""

    epochs: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="passes over train; 0: the network is already trained",
        ),
    ] = 30
    lr: Annotated[float, Field(gt=0, le=10, description="initial learning rate")] = 0.1
    batch_size: Annotated[int, Field(ge=2, le=65536, description="images per step")] = 128
    weight_decay: Annotated[float, Field(ge=0, le=1, description="applies to weights")] = 5e-4

    def train(self) -> Train:
        """Return these settings in the form of the training loop."""
        return Train(**self.model_dump())


def _as_text(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if str(value).strip().lower() == REMOVED else str(value) if number else value


_Text = Annotated[str | None, BeforeValidator(_as_text)]


class ConstraintSettings(_Settings):
    """What every answer must keep, absolute or relative to the baseline."""

    max_latency: Annotated[_Text, Field(description="such as 2ms, 0.5x or -20%")] = None
    min_accuracy: Annotated[
        _Text, Field(description="on validation images: 0.9, or -1% for one point less")
    ] = None
    max_size: Annotated[_Text, Field(description="such as 500KiB, 0.25x or -20%")] = None

    @field_validator("*")
    @classmethod
    def _check_limit(cls, text: str | None, info: ValidationInfo) -> str | None:
        try:
            if text is not None:
                parse_limit(str(info.field_name), text)
        except UserError as error:
            raise ValueError(str(error)) from None
        return text


def _start(value: object) -> object:
    if isinstance(value, list | tuple) and all(isinstance(recipe, dict) for recipe in value):
        return tuple(value)
    if value not in ("auto", "none"):
        raise ValueError(f"must be auto, none or a list of recipes, but got {shortened(value)}")
    return value


def _stopping(value: object) -> object:
    """Accept on and off too: YAML reads them as true and false, a shell does not."""
    values = {"auto": "auto", "true": True, "on": True, "false": False, "off": False}
    if str(value).lower() not in values:
        raise ValueError(f"must be auto, true or false, but got {shortened(value)}")
    return values[str(value).lower()]


class SearchConfig(_Settings):
    """One search. Precedence: option, ``--set``, config file, preset, these defaults."""

    model: Annotated[str, Field(description=MODELS)] = "resnet20"
    weights: Annotated[
        str | None, Field(description="checkpoint of the baseline; if unset, it is trained here")
    ] = None
    data: Annotated[str, Field(description=DATA)] = DEFAULT_DATA
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    teacher: Annotated[
        str | None,
        Field(description="network that students learn from; if unset, the baseline"),
    ] = None
    teacher_weights: Annotated[
        str | None, Field(description="checkpoint of the teacher; if unset, it is trained here")
    ] = None
    trials: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="how many to run; if unset, 20, or all of a grid"),
    ] = None
    sampler: Annotated[
        SamplerName,
        Field(
            description="what proposes recipes: a model, genetic algorithms, chance or a full list"
        ),
    ] = "tpe"
    start: Annotated[
        Any,  # Literal["auto", "none"] | tuple[dict[str, Any], ...], which would not read well
        PlainValidator(_start),
        Field(
            description="first recipes; auto: the baseline, then untrained and single techniques"
        ),
    ] = "auto"
    constraints: ConstraintSettings = ConstraintSettings()
    time_budget: Annotated[
        Duration | None,
        Field(description="no trial starts after this time, such as 10m or 1h30m"),
    ] = None
    stop_when_flat: Annotated[
        int | None,
        Field(ge=1, description="stop when this many trials in a row added no hypervolume"),
    ] = None
    stopping: Annotated[
        bool | Literal["auto"],
        PlainValidator(_stopping),
        Field(description="stop hopeless trials early; auto: yes, but not in a grid"),
    ] = "auto"
    final: FinalSettings = FinalSettings()
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...],
        Field(description="a grid runs once with each seed; if empty, each trial has its own"),
    ] = ()
    seed: Annotated[int, Field(ge=0, lt=2**31, description="seed of every random choice")] = 0
    concurrency: Annotated[
        int | None, Field(ge=1, description="number of trials at a time; if unset, as many as fit")
    ] = None
    executor: Annotated[
        Literal["ray", "inline"],
        Field(description="ray: in parallel; inline: one after another, in this process"),
    ] = "ray"
    ray_address: Annotated[
        str | None,
        Field(description="a running cluster, such as auto; if unset, a local Ray is started"),
    ] = None
    per_trial: PerTrialSettings = PerTrialSettings()
    stage_store: StageRoom = "1GiB"
    objectives: Annotated[
        tuple[str, ...],
        Field(description="two or more measured quantities; your own: FILE.py:NAME:maximize"),
    ] = ("accuracy", "size_bytes", "latency_ms")
    validation: ValidationSettings = ValidationSettings()
    baseline: BaselineSettings = BaselineSettings()
    allow_weak_baseline: Annotated[
        bool, Field(description="continue even if the given weights are no better than guessing")
    ] = False
    space: Annotated[
        dict[str, Any], Field(description="what to change in the default space, stage by stage")
    ] = {}
    summary: Annotated[
        tuple[str, ...],
        Field(description="columns of the table of all trials, printed at the end"),
    ] = ()

    log_to: Annotated[
        tuple[Literal["tensorboard", "mlflow", "wandb"], ...],
        Field(description="trackers that finished trials are also logged to"),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _preprocess(cls, settings: Any) -> Any:
        return with_preprocessing(settings, DEFAULT_DATA)

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        if self.teacher_weights is not None and self.teacher is None:
            raise ValueError(
                "teacher_weights: the teacher's network is missing; name it with teacher"
            )
        if self.seeds and self.sampler != "grid":
            raise ValueError(
                f"seeds: only a grid runs each recipe with given seeds, but sampler is "
                f"{self.sampler}; use sampler grid, or seed for the whole run"
            )
        if self.stopping is True and not can_foresee(self.objectives):
            raise ValueError(
                "stopping: needs accuracy as an objective, and otherwise only costs such as "
                "size_bytes, but the objectives are {', '.join(self.objectives)}; leave stopping "
                "at auto"
            )
        if isinstance(self.start, tuple) and self.sampler == "grid":
            raise ValueError(
                "start: a grid runs every recipe of the space anyway, but got a list; leave it out"
            )
        if isinstance(self.start, tuple) and len(self.start) > (self.trials or DEFAULT_TRIALS):
            raise ValueError(
                f"start: has {len(self.start)} recipes, but trials is "
                f"{self.trials or DEFAULT_TRIALS}; give more trials"
            )
        return self

    @property
    def stops(self) -> bool:
        """Whether trials are stopped early; a grid compares all of them, so there none is."""
        auto = self.sampler != "grid" and can_foresee(self.objectives)
        return auto if self.stopping == "auto" else self.stopping

    @property
    def validation_source(self) -> Literal["train", "test"]:
        """Where validation images come from, with ``auto`` decided.

        Given weights have usually been trained on all of train, so their accuracy on any part of
        it would be far too high.
        """
        if self.validation.source == "auto":
            trained_here = self.weights is None and self.baseline.epochs > 0
            return "train" if trained_here else "test"
        return self.validation.source

    @property
    def validation_fraction(self) -> float:
        """Share of that source which becomes the validation split."""
        default = 0.2 if self.validation_source == "train" else 0.5
        return self.validation.fraction or default

    def anchored(self) -> "SearchConfig":
        """Return the same settings with absolute paths, which hold in any folder."""
        changes: dict[str, Any] = {"data": anchored_data(self.data)}
        for name in ("model", "teacher"):
            if (network := getattr(self, name)) is not None:
                changes[name] = anchored_code(network)
        changes["objectives"] = tuple(map(anchored_metric, self.objectives))
        for name in ("weights", "teacher_weights"):
            if (file := getattr(self, name)) is not None:
                changes[name] = anchored_file(file)
        changes["space"] = _anchored_student(self.space)
        if isinstance(self.start, tuple):
            changes["start"] = tuple(map(_anchored_student, self.start))
        return self.model_copy(update=changes)

    def points(self) -> list[dict[str, Any]]:
        """Return the parameters of the first trials: all points of a grid, or the start points.

        Raises:
            ConfigError: the space has too many recipes for a grid, or a range without a step; a
                start recipe is not in the space.
        """
        space = self.resolved_space()
        if self.sampler == "grid":
            return grid_points(space)
        if isinstance(self.start, tuple):
            return read_points(self.start, space)
        if self.start == "none":
            return []
        # A first generation of similar recipes slows a genetic algorithm down. A quasi-random
        # sequence fills the gaps between its own points, so foreign ones would not fit.
        most = {"nsga2": POPULATION, "nsga3": POPULATION, "qmc": 0}.get(self.sampler)
        total = self.total_trials()
        return first_points(space, total, min(total if most is None else most, total) // SHARE)

    def total_trials(self) -> int:
        """Return how many trials the search has; in a grid, all points with each seed."""
        if self.sampler != "grid":
            return self.trials or DEFAULT_TRIALS
        size = len(self.points()) * max(1, len(self.seeds))
        return min(self.trials or size, size)

    def longest_train(self) -> int:
        """Return the most epochs that a trial's fine-tune has: ``space.train.epochs``."""
        return int(max(self.resolved_space().stages["train"]["epochs"].ends()))

    def resolved_space(self) -> Space:
        """Return the search space.

        Raises:
            ConfigError: the restriction breaks a rule.
        """
        return Space.restricted(self.space, listed=self.sampler == "grid")


def _absolute(files: Any) -> Any:
    """Return a path, or each path of a list, as an absolute one; other values unchanged."""
    if isinstance(files, list | tuple):
        return [_absolute(file) for file in files]
    return str(Path(files).expanduser().absolute()) if isinstance(files, str) else files


def _anchored_student(stages: dict[str, Any]) -> dict[str, Any]:
    student = stages.get("student")
    if not isinstance(student, dict):
        return stages
    changes = {"weights": _absolute, "model": anchored_networks}
    anchored = {name: changes[name](student[name]) for name in changes.keys() & student.keys()}
    return {**stages, "student": {**student, **anchored}}


def make_config(
    settings: Mapping[str, Any], preset: str | None = None, run: Mapping[str, Any] | None = None
) -> SearchConfig:
    """Build a config from nested settings laid over a preset.

    Args:
        settings: nested mapping. A None removes what the run or the preset sets, so that the
            default applies.
        preset: name of a registered preset.
        run: the settings of a run to resume, over which the preset is laid.

    Raises:
        ConfigError: an unknown key or a value that breaks a rule; begins with the dotted key.
        UnknownNameError: an unknown preset, objective or method.
    """
    base = merged(run or {}, {} if preset is None else PRESETS[preset])
    try:
        config = SearchConfig(**without_none(merged(base, settings), SearchConfig))
    except ValidationError as error:
        raise from_validation(error, names=_known_keys(error)) from None
    parse_objectives(config.objectives)
    config.points()
    check_final(config.final, config.longest_train(), config.seeds)
    return config


def _known_keys(error: ValidationError) -> list[str]:
    """Return the setting names that exist where the first error happened."""
    location = error.errors()[0]["loc"][:-1]
    model: type[BaseModel] = SearchConfig
    for part in location:
        inner = model.model_fields[str(part)].annotation if part in model.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return list(model.model_fields)
