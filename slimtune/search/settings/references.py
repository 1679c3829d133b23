"""Makes references hold in any folder, and finds the code that settings name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slimtune.errors import ConfigError, shortened
from slimtune.results.objectives import metric_code
from slimtune.workload.own_code import anchored_code as anchored_code
from slimtune.workload.own_code import is_all_allowed, is_code, object_key
from slimtune.workload.sources import SOURCES
from slimtune.workload.sources.fit import split_options
from slimtune.workload.zoo.build import FAMILIES


def anchored_data(reference: str) -> str:
    """Return a dataset's reference with an absolute path to its file or folder."""
    plain, options = split_options(reference)
    scheme, colon, path = plain.partition(":")
    if is_code(plain, SOURCES.names()):
        return anchored_code(plain) + options
    if colon and Path(path).expanduser().exists():
        return f"{scheme}:{Path(path).expanduser().absolute()}{options}"
    return reference


def anchored_file(path: str) -> str:
    """Return an absolute path; the name of weights that were given as objects stays as it is."""
    return path if object_key(path) else str(Path(path).expanduser().absolute())


def anchored_metric(objective: str) -> str:
    """Return an objective; a metric of the user's own gets an absolute path to its file."""
    code = metric_code(objective)
    return objective if code is None else anchored_code(code) + objective.removeprefix(code)


def anchored_networks(models: Any) -> Any:
    """Return a network's reference, or each of a list, with an absolute path to its file."""
    if isinstance(models, list | tuple):
        return [anchored_networks(model) for model in models]
    return anchored_code(models) if isinstance(models, str) else models


def code_in(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (dotted setting, code reference) for all code that nested settings name.

    Args:
        settings: of a search or of a recipe, not validated; values of wrong types are ignored.
    """
    for key, families in (("model", FAMILIES), ("teacher", FAMILIES), ("data", SOURCES.names())):
        plain, _ = split_options(str(settings.get(key, "")))
        if is_code(plain, families):
            yield key, plain
    for index, objective in enumerate(_listed(settings.get("objectives"))):
        if code := metric_code(str(objective)):
            yield f"objectives.{index}", code
    for prefix, stages in _recipes(settings):
        student = stages.get("student")
        models = student.get("model") if isinstance(student, Mapping) else None
        for model in _listed(models):
            if is_code(model, FAMILIES):
                yield f"{prefix}student.model", model


def check_address(address: str | None, typed: Mapping[str, Any]) -> None:
    """Refuse to connect to a cluster that only a config file or a run names.

    Whoever runs a cluster receives the data and the user's code, and its answers are unpickled
    here.

    Args:
        address: of the search's Ray; None is this host.
        typed: the settings that the user typed or passed.

    Raises:
        ConfigError: the user neither typed the address nor allowed everything that files name.
    """
    if address is not None and typed.get("ray_address") != address and not is_all_allowed():
        raise ConfigError(
            f"ray_address: {shortened(address)} in a config or a stored run needs --allow-code, "
            "or --ray-address on the command line, because connecting there means trusting "
            "whoever runs it (to stay on this host: --no-ray, or --set ray_address=null)"
        )


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _recipes(settings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each mapping that has stages: the settings, the space and the start recipes."""
    yield "", settings
    space, start = settings.get("space"), settings.get("start")
    if isinstance(space, Mapping):
        yield "space.", space
    for index, recipe in enumerate(start if isinstance(start, list | tuple) else ()):
        if isinstance(recipe, Mapping):
            yield f"start.{index}.", recipe
