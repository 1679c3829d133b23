"""Report missing consent before torch is imported, which takes many seconds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slimtune.cli.config.config_file import load_yaml, with_location
from slimtune.errors import ConfigError, RunError
from slimtune.results.store.files import read_json
from slimtune.workload.own_code import anchored_code, is_allowed, is_code

_NETWORKS = ("model", "teacher", "data")


def check_early(file: Path | None, run: Path | None, typed: Mapping[str, Any]) -> None:
    """Refuse code in a config or a run that surely needs consent and has none.

    Cases that the files alone do not decide are left to later checks.

    Args:
        file: the config file, if there is one.
        run: the run folder to resume, if there is one.
        typed: the options by name; code that they name may run.

    Raises:
        ConfigError: as `check_consent`, or `load_code` of a run.
    """
    if typed.get("assignments"):  # they may name or replace anything
        return
    typed_code = {
        anchored_code(str(typed[key]).partition("@")[0]) for key in _NETWORKS if typed[key]
    }
    if file is not None:
        settings, lines = load_yaml(file)
        for key in _NETWORKS:
            reference = str(settings.get(key, "")).partition("@")[0]
            if typed[key] is None and _is_file(reference) and not is_allowed(reference):
                text = f"{key}: code reference '{reference}' in a config needs --allow-code."
                raise with_location(ConfigError(text), file, lines)
    for reference in _code_of(run) if run is not None else ():
        replaced = typed.get("objectives") or reference in typed_code
        if _is_file(reference) and not replaced and not is_allowed(reference):
            raise ConfigError(
                f"code reference '{reference}' in a config or a stored run needs --allow-code, "
                "because loading it runs that code"
            )


def _is_file(reference: str) -> bool:
    return is_code(reference) and ".py:" in reference


def _code_of(run: Path) -> Iterator[str]:
    try:
        yield from read_json(run / "run.json")["workload"]["code"]
    except (RunError, KeyError, TypeError):  # reported when the run is opened
        return
