"""Everything a config can name, as plain data: descriptions, and settings with their ranges."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from slimtune.cli.config.config_file import dump_yaml
from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.stages import Prune, Student, Train
from slimtune.spaces.presets import PRESETS
from slimtune.workload.sources import SOURCES
from slimtune.workload.zoo import ZOO

_BOUNDS: tuple[tuple[type, str, str], ...] = (
    (annotated_types.Ge, "≥", "ge"),
    (annotated_types.Gt, ">", "gt"),
    (annotated_types.Le, "≤", "le"),
    (annotated_types.Lt, "<", "lt"),
)


@dataclass(frozen=True)
class Entry:
    """One thing that a config can name.

    Attributes:
        kind: what it is, such as "pruning".
        name: its name in a config.
        text: its docstring, or a preset's settings.
        reference: the paper, if there is one.
        settings: name, type, range, default, required and description of each setting.
    """

    kind: str
    name: str
    text: str
    reference: str = ""
    settings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The first paragraph of the text on one line, without its full stop."""
        return " ".join(self.text.partition("\n\n")[0].split()).rstrip(".")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "summary": self.summary}


def catalogue() -> list[Entry]:
    """Return everything that a config can name, by kind, in the order of registration."""
    entries = [
        Entry("stage", "student", _doc(Student), settings=list(_settings(Student))),
        Entry("stage", "prune", _doc(Prune), settings=list(_settings(Prune))),
        Entry("stage", "train", _doc(Train), settings=list(_settings(Train))),
    ]
    for kind, registry in (
        ("pruning", PRUNING),
        ("quantization", QUANTIZATION),
        ("distillation", DISTILLATION),
    ):
        entries += [_method(kind, name, registry[name]) for name in registry]
    entries += [Entry("model", name, _model_text(ZOO[name])) for name in ZOO]
    entries += [Entry("data", name, _doc(SOURCES[name])) for name in SOURCES]
    entries += [Entry("preset", name, _preset_text(PRESETS[name])) for name in PRESETS]
    return entries


def _method(kind: str, name: str, cls: type[Any]) -> Entry:
    reference = getattr(cls, "reference", "")
    return Entry(kind, name, _doc(cls), reference, list(_settings(cls)))


def _doc(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def _model_text(build: Callable[..., Any]) -> str:
    """Return the builder's docstring with the arguments that this name fixes."""
    if not isinstance(build, partial):
        return _doc(build)
    fixed = ", ".join(
        f"{key}={getattr(value, '__name__', value)}" for key, value in build.keywords.items()
    )
    first, gap, rest = _doc(build.func).partition("\n\n")
    return f"{first.rstrip('.')} ({fixed}).{gap}{rest}" if fixed else _doc(build.func)


def _preset_text(preset: dict[str, Any]) -> str:
    settings = dump_yaml(preset)
    trials = f"{preset['trials']} trials" if "trials" in preset else "a full grid"
    return f"{preset['model']} on {preset['data']}, {trials}.\n\n{settings}".rstrip()


def _settings(cls: type[Any]) -> Iterator[dict[str, Any]]:
    fields: dict[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    for name, info in fields.items():
        yield {
            "name": name,
            "type": _type_words(info.annotation),
            "range": range_words(info),
            "default": None if info.is_required() else info.get_default(call_default_factory=True),
            "required": info.is_required(),
            "description": info.description or "",
        }


def _type_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "choice"
    return "name" if annotation is Any else getattr(annotation, "__name__", str(annotation))


def range_words(info: FieldInfo) -> str:
    """Return the values that a setting allows, such as ``"≥ 0, < 1"``; empty if it allows any."""
    if get_origin(info.annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(info.annotation)))}"
    bounds = (
        f"{sign} {getattr(rule, attribute)}"
        for kind, sign, attribute in _BOUNDS
        for rule in info.metadata
        if isinstance(rule, kind)
    )
    return ", ".join(bounds)
