"""Read YAML files strictly, and keep the line of every key for error messages."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from slimtune.errors import ConfigError, UserError, shortened

MAX_BYTES = 2**20
MAX_VALUES = 10_000
"""Values in one file, aliases written out: eight lines of nested aliases can mean billions."""

_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_CORE + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq")}
# YAML 1.1, which PyYAML implements, reads 1e-3 as a string; this is YAML 1.2's float.
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")  # 010 would be read as 8


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with numbers as YAML 1.2 has them and no dates."""

    yaml_implicit_resolvers = {
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.removeprefix(_CORE) not in ("float", "int", "timestamp")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_CORE + "float", _FLOAT, list("-+.0123456789"))
_Loader.add_implicit_resolver(_CORE + "int", _DECIMAL, list("-+0123456789"))


class _Dumper(yaml.SafeDumper):
    """Puts quotes around every string that either version of YAML takes for something else."""


_Dumper.add_implicit_resolver(_CORE + "float", _FLOAT, list("-+.0123456789"))


def dump_yaml(data: dict[str, Any]) -> str:
    """Return plain data as YAML that `load_yaml` reads back, keys in their order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False)
    return text


def dump_value(value: Any) -> str:
    """Return one plain value as YAML in one line, to stand after ``key: ``."""
    text: str = yaml.dump(
        [value], Dumper=_Dumper, default_flow_style=True, width=2**20, sort_keys=False
    )
    return text.strip()[1:-1]


def load_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: UTF-8 text, at most 1 MiB.

    Returns:
        The mapping, and for every dotted key (list items by their index) its line, from 1.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not UTF-8; is no valid YAML;
            repeats a key; holds a tag, NaN or infinity; or is no mapping. The message begins
            with the file and, where there is one, the line.
    """
    data, node = _load(_read(path), str(path))
    if not isinstance(data, dict):
        kind = "nothing" if data is None else type(data).__name__
        line = 1 if node is None else node.start_mark.line + 1
        raise ConfigError(f"{path}:{line}: expected a mapping of settings, got {kind}")
    return data, dict(_lines(node, ""))


def parse_value(text: str, name: str) -> Any:
    """Read the value of ``--set name=text`` as YAML, by the same rules as a file.

    Raises:
        ConfigError: the text breaks a rule; the message begins with ``--set name``.
    """
    return _load(text, f"--set {name}")[0]


def with_location(error: UserError, path: Path, lines: dict[str, int]) -> UserError:
    """Return the same kind of error with ``FILE:LINE: `` before its message.

    The line is that of the longest part of the message's leading dotted key that the file has;
    a message that begins with no key gets the file alone.

    Args:
        error: its message begins with a dotted key and a colon, such as ``"train.lr: ..."``.
        path: the file that the setting came from.
        lines: what `load_yaml` returned beside the data.
    """
    key = str(error).partition(": ")[0]
    while key and key not in lines:
        key = key.rpartition(".")[0]
    where = f"{path}:{lines[key]}" if key else f"{path}"
    return type(error)(f"{where}: {error}")


def _read(path: Path) -> str:
    if path.is_dir():
        raise ConfigError(f"{path}: is a directory; give a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"file '{path}' does not exist; check the path") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: too large; a config has at most 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _load(text: str, where: str) -> tuple[Any, yaml.Node | None]:
    """Return the value and the node tree of one YAML document, or raise one line."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check(node, where, {})
        return loader.construct_document(node), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise ConfigError(f"{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from None
    except ValueError as error:  # !!int x, or an integer of thousands of digits
        raise ConfigError(f"{where}: not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply for a config") from None


def _check(node: yaml.Node, where: str, counted: dict[int, int]) -> int:
    """Refuse what a config must not hold, and return how many values ``node`` stands for.

    Args:
        node: checked with everything below it.
        where: begins the message.
        counted: by id, the count of nodes seen before; 0 for one that is still being counted.
    """
    if id(node) in counted:
        if counted[id(node)] == 0:
            _refuse(node, where, "an alias that contains itself")
        return counted[id(node)]
    counted[id(node)] = 0
    if node.tag not in _PLAIN_TAGS:
        _refuse(node, where, f"tag {shortened(node.tag)} is not allowed in a config")
    if isinstance(node, yaml.ScalarNode):
        _check_finite(node, where)
    total = 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, where)
        total += sum(_check(value, where, counted) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_check(item, where, counted) for item in node.value)
    if total > MAX_VALUES:
        raise ConfigError(f"{where}: too large or too many aliases: over {MAX_VALUES} values")
    counted[id(node)] = total
    return total


def _check_finite(node: yaml.ScalarNode, where: str) -> None:
    if node.tag == _CORE + "float":
        value = float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(value):
            _refuse(node, where, f"must be a finite number, but got {node.value}")


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _CORE + "merge":
            _refuse(key, where, "merge keys (<<) are not allowed in a config; write the keys out")
        if key.tag != _CORE + "str":
            _refuse(key, where, f"a key must be a word, but got {shortened(key.value)}")
        if key.value in seen:
            first = seen[key.value]
            _refuse(key, where, f"duplicate key '{key.value}' (first set on line {first})")
        seen[key.value] = key.start_mark.line + 1


def _refuse(node: yaml.Node, where: str, reason: str) -> None:
    mark = node.start_mark
    raise ConfigError(f"{where}:{mark.line + 1}:{mark.column + 1}: {reason}")


def _lines(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, int]]:
    pairs: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(index), item, item) for index, item in enumerate(node.value)]
    for name, key, value in pairs:
        dotted = f"{prefix}.{name}" if prefix else name
        yield dotted, key.start_mark.line + 1
        yield from _lines(value, dotted)
