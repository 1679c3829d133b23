import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.errors import ConfigError
from slimtune.spaces.domains import Choice, Range, parse_domain


def draw(domain: Choice | Range, seed: int = 0) -> object:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return domain.suggest(study.ask(), "x")


@given(st.integers(0, 2**31))
def test_a_stepped_range_gives_only_its_multiples(seed: int) -> None:
    value = draw(Range(0.1, 0.8, step=0.05), seed)
    assert isinstance(value, float) and 0.1 <= value <= 0.8
    assert value == round(value, 2) and math.isclose(value / 0.05, round(value / 0.05))


def test_a_whole_range_gives_whole_numbers() -> None:
    assert isinstance(draw(Range(1, 8, step=1)), int)


def test_a_single_value_costs_no_dimension() -> None:
    study = optuna.create_study()
    trial = study.ask()
    assert Choice(("a",)).suggest(trial, "a") == "a" and Range(2.0, 2.0).suggest(trial, "b") == 2.0
    assert trial.params == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"low": 0.9, "high": 0.1}, "low 0.9 is above high 0.1"),
        ({"low": 0.1, "high": math.nan}, "low 0.1 is above high nan"),
        ({"low": 0.1}, "give low, high"),
        ({"low": 0.1, "high": 1, "stpe": 3}, "give low, high"),
        ({"low": 0, "high": 1, "log": True}, "log needs low above 0"),
        ({"low": 0, "high": 1, "step": 0}, "step must be above 0"),
        ({"low": "few", "high": 1}, "low must be a number, but got 'few'"),
        ([0.9, 0.1], "low 0.9 is above high 0.1"),
        (["a", 0.1], "low must be a number"),
        ([], "give at least one value"),
    ],
)
def test_a_domain_that_breaks_a_rule_is_refused(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_domain(value, Range(0.0, 1.0, step=0.1))


def test_two_numbers_narrow_a_range_and_keep_its_kind() -> None:
    assert parse_domain([0.2, 0.4], Range(0.1, 0.8, step=0.05)) == Range(0.2, 0.4, step=0.05)
    assert parse_domain([0.01, 0.1], Range(1e-3, 1, log=True)).log  # type: ignore[union-attr]


def test_a_scalar_fixes_and_a_list_chooses() -> None:
    assert parse_domain(0.3, Range(0.1, 0.8)) == Choice((0.3,))
    assert parse_domain([1, 2, 4], Range(1, 8)) == Choice((1, 2, 4))
    assert parse_domain(["local", "global"], Choice(("local",))) == Choice(("local", "global"))


@given(st.integers(0, 2**31))
def test_a_range_between_whole_numbers_gives_whole_numbers(seed: int) -> None:
    assert draw(Range(4, 16), seed) in range(4, 17) and draw(
        Range(32, 128, log=True), seed
    ) in range(32, 129)


def test_a_range_of_whole_numbers_with_a_fractional_step_shows_a_fraction_among_its_ends() -> None:
    assert any(value != round(value) for value in Range(1, 3, step=0.5).ends())


def test_a_width_that_is_no_number_of_steps_gives_up_the_step_or_is_refused() -> None:
    assert parse_domain([0.2, 0.63], Range(0.1, 0.8, step=0.05)) == Range(0.2, 0.63)
    with pytest.raises(ConfigError, match="is not low 0.2 plus a number of steps of 0.05"):
        parse_domain({"low": 0.2, "high": 0.63, "step": 0.05}, None)


@pytest.mark.parametrize(
    ("domain", "numbers", "middle"),
    [
        (Range(1, 8, step=1), [1, 2, 3, 4, 5, 6, 7, 8], 4),
        (Range(2, 8, step=3), [2, 5, 8], 5),
        (Range(4, 64, log=True), list(range(4, 65)), 16),
        (Range(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5], 0.3),
        (Range(0.15, 0.85, step=0.1), [0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85], 0.45),
        (Range(0.01, 1.0, log=True), None, 0.1),
        (Range(0.0, 1.0), None, 0.5),
    ],
)
def test_the_numbers_of_a_range_and_its_middle(
    domain: Range, numbers: list[float] | None, middle: float
) -> None:
    found = domain.numbers()
    assert (None if found is None else list(found)) == numbers
    assert domain.middle() == pytest.approx(middle)
