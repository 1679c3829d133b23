"""Write a config file with every setting, its meaning, range and value.

Nothing is listed here by hand, so the file cannot become outdated: the settings come from
`SearchConfig`, the dimensions of the space from `Space`, and their descriptions from the stages
and methods.
"""

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from slimtune.cli.config.catalogue import range_words
from slimtune.cli.config.config_file import dump_value
from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.stages import Prune, Student, Train
from slimtune.registry import Registry
from slimtune.search.settings.config import SearchConfig
from slimtune.spaces.domains import Choice, Domain
from slimtune.spaces.space import METHODS, Space

_WIDTH = 96
_HEAD = """\
Settings of a search: slimtune search -c FILE. An option wins over --set, --set over this file,
and this file over a preset. If you delete a line, the preset's value or the default is used; null
means unset."""
_SPACE = """\
Every dimension is a value, a list of values, or a range: [low, high] or {low: , high: , step: ,
log: }. `slimtune methods NAME` describes a method."""
_REGISTRIES: dict[str, Registry[Any]] = {
    "prune": PRUNING,
    "quantize": QUANTIZATION,
    "distill": DISTILLATION,
}
_STAGES: dict[str, type[Any]] = {"student": Student, "prune": Prune, "train": Train}


def config_template(config: SearchConfig, preset: str | None = None) -> str:
    """Return a commented YAML file with every setting of ``config``.

    `load_yaml` and `make_config` read it back as an equal config with an equal space.

    Args:
        config: the config with the values.
        preset: the preset that the values come from, for the heading.
    """
    values = config.model_dump(mode="json")
    made = "" if preset is None else f" The values are those of the preset {preset}."
    lines = [*_comment(_HEAD + made, ""), ""]
    for name, info in SearchConfig.model_fields.items():
        if name == "space":
            lines += [*_comment(_about(info), ""), *_comment(_SPACE, ""), "space:"]
            lines += _space_lines(config.resolved_space(), config.space)
        else:
            lines += _setting(name, info, values[name], "")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _setting(name: str, info: FieldInfo, value: Any, indent: str) -> Iterator[str]:
    """Yield the comment and the line of one setting; of a group, those of all its settings."""
    group = info.annotation
    if isinstance(group, type) and issubclass(group, BaseModel):
        yield from _comment(_first_paragraph(group), indent)
        yield f"{indent}{name}:"
        for key, inner in group.model_fields.items():
            yield from _setting(key, inner, value[key], indent + "  ")
    else:
        yield from _comment(_about(info), indent)
        yield f"{indent}{name}: {dump_value(value)}"


def _space_lines(space: Space, restriction: Mapping[str, Any]) -> Iterator[str]:
    """Yield the space, stage by stage: what restricts it in its own words, else the defaults."""
    for stage in ("student", *METHODS, "train"):
        given = restriction.get(stage, {})
        yield f"  {stage}:"
        if stage in METHODS:
            yield from _comment(f"any of {', '.join(METHODS[stage])}; or all", "    ")
            chosen = given.get("method", list(space.methods[stage]))
            yield f"    method: {dump_value(chosen)}"
        for name, domain in space.stages.get(stage, {}).items():
            yield from _comment(_about_dimension(_STAGES[stage], name), "    ")
            yield f"    {name}: {dump_value(given.get(name, _domain_value(domain)))}"
        if stage in METHODS:
            yield from _own_lines(stage, space.methods[stage], given)
            for method in METHODS[stage]:
                if method in given:
                    yield from _comment(f"only {method} has these", "    ")
                    yield f"    {method}: {dump_value(given[method])}"
    yield from _comment("ppq: prune, recover, quantize; spq: quantize, prune in training", "  ")
    yield f"  order: {dump_value(restriction.get('order', _domain_value(space.order)))}"


def _own_lines(
    stage: str, rows: Mapping[str, Mapping[str, Domain]], given: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the dimensions of single methods, as comments unless they are given.

    A name sets the dimension in every method that has it, and their defaults may differ: to
    write them down as settings would change them.
    """
    owners: dict[str, list[str]] = {}
    for method, row in rows.items():
        for name in row:
            owners.setdefault(name, []).append(method)
    for name, methods in owners.items():
        cls = _REGISTRIES[stage][methods[0]]
        about = f"for {', '.join(methods)}: {_about_dimension(cls, name)}"
        yield from _comment(about.rstrip(": "), "    ")
        if name in given:
            yield f"    {name}: {dump_value(given[name])}"
        else:
            yield f"    # {name}: {dump_value(_domain_value(rows[methods[0]][name]))}"


def _domain_value(domain: Domain) -> Any:
    """Return what `parse_domain` makes an equal domain of."""
    if isinstance(domain, Choice):
        return domain.values[0] if len(domain.values) == 1 else list(domain.values)
    values = {key: v for key, v in dataclasses.asdict(domain).items() if v not in (None, False)}
    return {"low": domain.low, "high": domain.high, **values}


def _about(info: FieldInfo) -> str:
    """Return a setting's description and range."""
    rule = range_words(info)
    return " · ".join(part for part in (info.description or "", rule) if part)


def _about_dimension(cls: type[Any], name: str) -> str:
    fields: Mapping[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    return _about(fields[name]) if name in fields else ""


def _first_paragraph(cls: type[Any]) -> str:
    return (cls.__doc__ or "").partition("\n\n")[0]


def _comment(text: str, indent: str) -> list[str]:
    """Return the text as comment lines; none if it is empty."""
    words = " ".join(text.split())
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
