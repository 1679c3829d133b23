from typing import Any

import pytest

from slimtune.errors import ConfigError
from slimtune.search.settings.config import make_config
from slimtune.search.settings.final import FinalSettings

SMALL: dict[str, Any] = {"model": "resnet8", "data": "digits"}


def test_finals_are_wanted_when_a_length_or_a_number_of_seeds_is_given() -> None:
    assert not make_config(SMALL).final.wanted
    assert make_config({**SMALL, "final": {"epochs": 30}}).final.wanted
    assert make_config({**SMALL, "final": {"repeats": 1}}).final.wanted


def test_without_a_length_the_finals_are_as_long_as_the_trials() -> None:
    assert FinalSettings(repeats=3).length(4) == 4
    assert FinalSettings(epochs=9).length(4) == 9
    assert (FinalSettings(epochs=9).seeds, FinalSettings(repeats=3).seeds) == (1, 3)


def test_the_search_is_as_long_as_its_longest_fine_tune() -> None:
    space = {"train": {"epochs": [2, 5, 3]}}
    assert make_config({**SMALL, "space": space}).longest_train() == 5
    make_config({**SMALL, "space": space, "final": {"epochs": 5}})


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        (
            {"final": {"epochs": 2}},
            "final.epochs: must be at least 3, the search's own space.train.epochs, but got 2",
        ),
        (
            {
                "final": {"epochs": 2},
                "space": {"train": {"epochs": 0}, "distill": {"method": "none"}},
            },
            "final.epochs: lengthens fine-tunes to 2 epochs, but the search has",
        ),
        ({"final": {"epochs": 0}}, "final.epochs: must be greater than or equal to 1"),
        ({"final": {"repeats": 0}}, "final.repeats: must be greater than or equal to 1"),
        ({"final": {"epoch": 9}}, "Did you mean 'epochs'"),
        (
            {
                "final": {"repeats": 2},
                "sampler": "grid",
                "seeds": [1, 2],
                "space": {"prune": {"method": "l1", "amount": 0.5, "scope": "local"},
                          "quantize": {"method": "none"}, "distill": {"method": "none"},
                          "train": {"lr": 0.01}},
            },
            "final: a grid with seeds has run every recipe 2 times, and slimtune summary shows",
        ),
    ],
)  # fmt: skip
def test_finals_that_make_no_sense_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule.replace(".", r"\.")):
        make_config({**SMALL, **settings})
