"""Which code may run: code that the user types may; code that a file names needs --allow-code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimtune.cli.config.config_file import with_location
from slimtune.errors import ConfigError, did_you_mean
from slimtune.search.settings.references import code_in
from slimtune.workload.own_code import allow_code, is_allowed, names_nothing
from slimtune.workload.sources import SOURCES
from slimtune.workload.zoo.build import FAMILIES


def consent_to(settings: Mapping[str, Any]) -> None:
    """Allow the code in settings that the user typed on this command line."""
    allow_code(*(reference for _, reference in code_in(settings)))


def check_consent(settings: Mapping[str, Any], file: Path, lines: dict[str, int]) -> None:
    """Refuse code that a file names and the user has not allowed.

    Args:
        settings: read from the file.
        file: for the message.
        lines: line of every dotted key.

    Raises:
        ConfigError: names file, line and reference.
    """
    for key, reference in code_in(settings):
        if not is_allowed(reference):
            guess = ""
            if names_nothing(reference):
                head, _, rest = reference.partition(":")
                candidates = [f"{family}:{rest}" for family in (*FAMILIES, *SOURCES.names())]
                guess = did_you_mean(f"{head}:{rest}", candidates)
            error = ConfigError(
                f"{key}: code reference '{reference}' in a config needs --allow-code.{guess}"
            )
            raise with_location(error, file, lines)
