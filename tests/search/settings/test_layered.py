from typing import Any

import pytest

from slimtune.errors import ConfigError
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.layered import merged, set_path, without_none


def test_what_lies_over_counts_and_none_is_an_entry_like_any_other() -> None:
    below = {"a": 1, "b": {"c": 2, "e": 4}}
    assert merged(below, {"a": None, "b": {"c": None, "d": 3}}) == {
        "a": None,
        "b": {"c": None, "d": 3, "e": 4},
    }
    assert merged(below, {"b": None}) == {"a": 1, "b": None}
    assert below == {"a": 1, "b": {"c": 2, "e": 4}}


def test_without_none_only_a_key_that_nobody_knows_is_left_to_be_refused() -> None:
    settings = {"trials": None, "trails": None, "space": {"prune": {"amount": None, "scope": "x"}}}
    assert without_none(settings) == {"space": {"prune": {"scope": "x"}}}
    assert without_none(settings, SearchConfig) == {
        "trails": None,
        "space": {"prune": {"scope": "x"}},
    }
    final = {"final": {"epochs": None, "epocs": None}}
    assert without_none(final, SearchConfig) == {"final": {"epocs": None}}


def test_a_dotted_setting_makes_its_mappings() -> None:
    settings: dict[str, Any] = {"space": {"prune": {"amount": 0.5}}}
    set_path(settings, "space.prune.scope", "local")
    set_path(settings, "seed", 3)
    assert settings == {"space": {"prune": {"amount": 0.5, "scope": "local"}}, "seed": 3}


@pytest.mark.parametrize("dotted", ["", "a..b", "seed.x"])
def test_a_dotted_setting_that_leads_nowhere_is_refused(dotted: str) -> None:
    with pytest.raises(ConfigError):
        set_path({"seed": 1}, dotted, 2)
