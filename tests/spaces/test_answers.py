from typing import Any

import optuna
import pytest

from slimtune.spaces.answers import Answers, Walker
from slimtune.spaces.domains import Choice, Domain, Range


class First(Answers):
    """Takes the first value of everything, and notes down what it was asked for."""

    def answer(self, name: str, domain: Domain) -> Any:
        self.params[name] = domain
        return domain.ends()[0]


DOMAINS = [
    Choice(("a", None, True)),
    Range(1, 8, step=1),
    Range(2, 64, log=True),
    Range(0.1, 0.7, step=0.05),
    Range(0.003, 0.1, log=True),
    Range(0, 1.0),
]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_dimension_arrives_as_it_was_drawn_and_its_value_is_one_that_optuna_takes(
    domain: Domain,
) -> None:
    first = First()
    value = domain.suggest(first, "x")
    asked = first.params["x"]
    assert asked == domain or (asked.low, asked.high) == (domain.low, domain.high)
    assert domain.suggest(optuna.trial.FixedTrial({"x": value}), "x") == value


class Every(Walker):
    """Walks every dimension."""

    def answer(self, name: str, domain: Domain) -> Any:
        return self.walk(domain.ends())


def test_a_walker_takes_every_combination_once_the_last_fastest() -> None:
    found: list[tuple[str, int]] = []
    positions: list[int] | None = []
    while positions is not None:
        walker = Every(positions)
        method = walker.suggest_categorical("method", ["none", "l1"])
        steps = walker.suggest_categorical("steps", [1, 2, 3]) if method == "l1" else 0
        found.append((method, steps))
        assert len(walker.current_positions) == (2 if method == "l1" else 1)
        positions = walker.next_positions()
    assert found == [("none", 0), ("l1", 1), ("l1", 2), ("l1", 3)]
