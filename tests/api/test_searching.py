import inspect
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import slimtune as st
from slimtune.search.listeners.events import BaselineMeasured
from slimtune.search.settings.config import SearchConfig

OWN = {
    "search": {"out", "preset", "resume", "allow_code", "quiet", "listener"},
    "doctor": {"preset", "quiet"},
    "compress": {"recipe", "out", "preset", "from_stage", "quiet"},
}
"""Function -> its parameters that are no settings of a search."""


def test_search_shows_its_progress_and_is_silent_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    settings = {"model": "resnet8", "weights": str(weights), "data": "digits", "trials": 1}
    settings |= {"executor": "inline", "start": "none", "stopping": False}
    settings |= {"allow_weak_baseline": True}  # untrained
    settings |= {"space": {"prune": {"method": "l1"}, "quantize": {"method": "none"},
                           "distill": {"method": "none"},
                           "train": {"epochs": 0}}}  # fmt: skip
    run = st.search(out=tmp_path / "a", **settings)
    shown = capsys.readouterr()
    assert shown.out == ""
    for line in ("data      digits", "baseline  accuracy", "trial    0      1/1", "front     1 "):
        assert line in shown.err
    assert repr(run).startswith(f"<Run {tmp_path / 'a'}: 1 trial (1 complete)")
    st.search(out=tmp_path / "a", resume=True, quiet=True)
    assert capsys.readouterr().err == ""
    heard = []
    st.search(out=tmp_path / "a", resume=True, listener=heard.append)
    assert any(isinstance(event, BaselineMeasured) for event in heard)
    assert capsys.readouterr().err == ""


def test_every_function_has_its_help() -> None:
    for name in ("compress", "doctor", "compare", "evaluate"):
        assert f"``slimtune {name}``" in getattr(st, name).__doc__
        assert name in dir(st)


@pytest.mark.parametrize("name", OWN)
def test_the_parameters_are_the_settings_of_a_search(name: str) -> None:
    parameters = inspect.signature(getattr(st, name)).parameters
    settings, hints = parameters.keys() - OWN[name], get_type_hints(getattr(st, name))
    known = SearchConfig.model_fields.keys()
    assert settings <= known and OWN[name] <= parameters.keys()
    assert name == "compress" or settings == known  # one recipe has no use for samplers
    for setting in settings:
        assert parameters[setting].default is None, setting  # the preset's or the config's
        assert parameters[setting].kind is inspect.Parameter.KEYWORD_ONLY
        assert type(None) in get_args(hints[setting]), setting


@pytest.mark.parametrize("name", OWN)
def test_every_parameter_is_explained(name: str) -> None:
    described = explained(name)
    assert list(described) == list(inspect.signature(getattr(st, name)).parameters)


def test_the_defaults_that_help_names_are_those_of_the_config() -> None:
    for name, words in explained("search").items():
        field = SearchConfig.model_fields.get(name)
        plain = field is not None and isinstance(field.default, bool | int | str | tuple)
        if plain and field.default != ():
            shown = repr(field.default).replace("'", '"')
            assert re.search(rf"[Dd]efault `*{re.escape(shown)}", words), f"{name}: {words}"


def explained(name: str) -> dict[str, str]:
    """Return parameter -> what the docstring says of it."""
    doc = inspect.getdoc(getattr(st, name)) or ""
    body = re.search(r"^Args:\n(.*?)(?=^\w+:\n|\Z)", doc, re.M | re.S)
    assert body is not None
    items = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", body[1], re.M | re.S)
    return {key: " ".join(words.split()) for key, words in items}
