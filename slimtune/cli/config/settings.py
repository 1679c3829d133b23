"""Merge options, ``--set``, a config file and a preset into one validated search config."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slimtune.cli.config.config_file import load_yaml, parse_value, with_location
from slimtune.cli.config.consent import check_consent, consent_to
from slimtune.errors import ConfigError, UserError
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.settings.layered import merged, set_path


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Return ``{"a.b": value}`` from ``["a.b=value"]``; each value is read as YAML.

    Raises:
        ConfigError: an assignment without ``=``, or a value that is no YAML.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set needs KEY=VALUE, such as train.lr=0.01, but got '{text}'")
        values[name.strip()] = parse_value(value, name.strip())
    return values


def search_config(
    options: Mapping[str, Any],
    assignments: Iterable[str] = (),
    *,
    file: Path | None = None,
    preset: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> SearchConfig:
    """Return the config; the first of option, ``--set``, file, preset and default counts.

    Args:
        options: dotted setting -> value; None means not given.
        assignments: texts ``a.b=value``; the value ``null`` unsets a setting, as in a file.
        file: YAML config. It must be valid on top of the preset alone, so that an error can name
            its line.
        preset: name of a ready-made search.
        run: the settings of the run to resume; everything else wins over them.

    Raises:
        UserError: a setting that breaks a rule.
    """
    over: dict[str, Any] = {}
    for dotted, value in parse_assignments(assignments).items():
        set_path(over, dotted, value)
    for dotted, value in options.items():
        if value is not None:
            set_path(over, dotted, value)
    consent_to(over)
    layers: dict[str, Any] = {}
    if file is not None:
        layers, lines = load_yaml(file)
        check_consent(layers, file, lines)
        make_config({}, preset)  # an unknown preset is not an error in the file
        try:
            make_config(layers, preset)
        except UserError as error:
            raise with_location(error, file, lines) from None
    return make_config(merged(layers, over), preset, run)
