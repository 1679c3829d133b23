"""Make docs/api.md out of the docstrings: ``python docs/make_api.py``, or ``make docs``.

A test compares the page with what this would make, so that it cannot go stale.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from slimtune.registry import Registry

PAGE = Path(__file__).with_name("api.md")
HEAD = """\
# Python API

Made from the docstrings by `make docs`; do not edit. Everything here can be imported as shown;
what is not here is internal and may change.
"""
SECTIONS = {
    "The package: `import slimtune as st`": ["slimtune:search", "slimtune:open_run",
                                             "slimtune:load_model", "slimtune:compress",
                                             "slimtune:doctor", "slimtune:compare",
                                             "slimtune:evaluate"],
    "A run and its members": ["slimtune:Run", "slimtune:Member", "slimtune:TrialRecord",
                              "slimtune:Objective", "slimtune:CompressedModel",
                              "slimtune:Checkup"],
    "Data": ["slimtune:Dataset", "slimtune:Split", "slimtune:Augmentation"],
    "Recipes and spaces": ["slimtune:Recipe", "slimtune:Space",
                "slimtune.compression.stages:Student",
                "slimtune.compression.stages:Prune", "slimtune.compression.stages:Train"],
    "What there is, by name": ["slimtune:PRUNING", "slimtune:QUANTIZATION",
                               "slimtune:DISTILLATION", "slimtune:ZOO", "slimtune:SOURCES",
                               "slimtune:PRESETS", "slimtune:OBJECTIVES"],
    "Errors": ["slimtune:SlimtuneError", "slimtune:UserError"],
    "For who adds a method": ["slimtune.compression.pruning.protocol:ChannelPruning",
                              "slimtune.compression.pruning.protocol:WeightPruning",
                              "slimtune.compression.pruning.protocol:ChannelGroup",
                              "slimtune.compression.quantization.protocol:Quantizer",
                              "slimtune.compression.quantization.protocol:StoredWeight",
                              "slimtune.compression.distillation.protocol:Distiller",
                              "slimtune.compression.distillation.protocol:Batch",
                              "slimtune.registry:Registry"],
}  # fmt: skip

_PARTS = re.compile(r"^(Args|Returns|Raises|Attributes|Yields):$", re.MULTILINE)
_ITEM = re.compile(r"^([\w*., ]+|``.+?``): (.*)", re.DOTALL)


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, references in SECTIONS.items():
        parts.append(f"## {title}\n")
        for reference in references:
            parts += _entry(*reference.split(":"))
    errors = import_module("slimtune.errors").__doc__
    tree = inspect.cleandoc(errors.split("::", 1)[1].rsplit("\n\n", 1)[0])
    return "\n".join(parts).replace("## Errors\n", f"## Errors\n\n```text\n{tree}\n```\n")


def _entry(module: str, name: str) -> Iterator[str]:
    thing = getattr(import_module(module), name)
    shown = f"st.{name}" if module == "slimtune" else f"{module}.{name}"
    yield f"### `{shown}`\n"
    if isinstance(thing, Mapping | Registry):
        kind = getattr(thing, "kind", name.lower().removesuffix("s"))
        names = ", ".join(f"`{each}`" for each in thing)
        yield f"`st.{name}[NAME]` is the {kind} of that name: {names}.\n"
        return
    if not inspect.isclass(thing):
        yield _fenced(_signature(thing, shown))
        yield markdown(inspect.getdoc(thing) or "")
        return
    yield markdown(inspect.getdoc(thing) or "")
    yield from _settings(thing)
    ours = [base for base in reversed(thing.__mro__) if base.__module__.startswith("slimtune.")]
    for key, value in {key: v for base in ours for key, v in vars(base).items()}.items():
        function = value.fget if isinstance(value, property) else inspect.unwrap(_plain(value))
        if key.startswith("_") or not inspect.isfunction(function):
            continue
        yield f"#### `{name}.{key}`\n"
        if not isinstance(value, property):
            yield _fenced(_signature(function, key))
        yield markdown(inspect.getdoc(function) or "")


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _settings(thing: Any) -> Iterator[str]:
    """Yield a list of the settings of a class that are described where they stand."""
    fields = getattr(thing, "__pydantic_fields__", {})
    lines = [f"- `{name}`: {each.description}{_default(each)}" for name, each in fields.items()
             if each.description]  # fmt: skip
    if lines:
        yield "\n".join(lines) + "\n"


def _default(setting: Any) -> str:
    return "" if setting.is_required() else f" (default `{setting.default}`)"


def _signature(function: Any, name: str) -> str:
    text = f"{name}{inspect.signature(function)}"
    text = re.sub(r"\((?:self|cls)(, )?", "(", text, count=1)
    text = re.sub(r"(?<![\w'])(?:[a-z_]+\.)+(?=[A-Z]\w*)", "", text)  # a type without its module
    text = re.sub(r" at 0x[0-9a-f]+", "", re.sub(r"<function (\w+)[^>]*>", r"\1", text))
    text = re.sub(r"""(: |-> )(?:'([^']*)'|"([^"]*)")(?=[,)]| = |$)""", r"\1\2\3", text)
    text = text.replace("~", "")
    if len(text) <= 96 or "(" not in text:
        return text
    return _wrapped(text)


def _wrapped(text: str) -> str:
    """Return a call with one parameter a line."""
    start, depth, parts, begin = text.index("(") + 1, 0, [], text.index("(") + 1
    for position in range(start, len(text)):
        letter = text[position]
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            parts.append(text[begin:position].strip())
            break
        if letter == "," and depth == 0:
            parts.append(text[begin:position].strip())
            begin = position + 1
    inside = "".join(f"\n    {part}," for part in parts if part)
    return f"{text[:start]}{inside}\n{text[position:]}"


def markdown(doc: str) -> str:
    """Return a Google docstring as Markdown."""
    pieces = _PARTS.split(_code_spans(doc))
    text = pieces[0].strip() + "\n"
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        text += f"\n{title}:\n\n{_listed(body, title)}"
    return text


def _listed(body: str, title: str) -> str:
    lines = inspect.cleandoc(body)
    items = re.split(r"\n(?=\S)", lines)
    if title in ("Returns", "Yields"):
        return f"{lines}\n"
    return "".join(f"- {_item(item)}\n" for item in items)


def _item(item: str) -> str:
    match = _ITEM.match(item)
    words = " ".join(item.split())
    if match is None:
        return words
    return f"`{match[1].strip('`')}`: {' '.join(match[2].split())}"


def _code_spans(doc: str) -> str:
    return doc.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page())
