"""Counts, rounding, ties and scopes."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slimtune.compression.pruning.stage.ranking import choose, keep_count
from slimtune.errors import ConfigError, PruningError

hundredths = st.integers(0, 99)


@pytest.mark.parametrize(
    ("channels", "amount", "round_to", "kept"),
    [
        (10, 0.9, 1, 1),  # int(10 * (1 - 0.9)) would be 0
        (16, 0.05, 8, 16),
        (16, 0.9, 8, 8),
        (5, 0.5, 1, 3),  # halves up, where Python's round gives 2
        (30, 0.55, 1, 14),  # 13.499999999999998 in floats
        (24, 0.5, 8, 16),  # 12 lies between 8 and 16: up
        (4, 0.5, 8, 4),  # a group smaller than round_to stays whole
        (12, 0.0, 8, 12),
        (64, 0.5, 8, 32),
    ],
)
def test_counts_are_exact(channels: int, amount: float, round_to: int, kept: int) -> None:
    assert keep_count(channels, amount, round_to) == kept


def test_the_minimum_is_kept_unless_the_group_is_smaller() -> None:
    assert keep_count(64, 0.99, 1, minimum=5) == 5
    assert keep_count(3, 0.99, 1, minimum=5) == 3


@given(st.integers(1, 2048), hundredths)
def test_without_rounding_the_count_is_the_decimal_one(channels: int, percent: int) -> None:
    exact = Decimal(channels) * (100 - percent) / 100
    expected = max(1, int(exact.to_integral_value(ROUND_HALF_UP)))
    assert keep_count(channels, percent / 100, 1) == expected


@given(st.integers(1, 2048), hundredths, hundredths, st.sampled_from([1, 2, 4, 8, 16, 64]))
def test_more_pruning_never_keeps_more(channels: int, a: int, b: int, round_to: int) -> None:
    low, high = sorted((a, b))
    less, more = (keep_count(channels, percent / 100, round_to) for percent in (low, high))
    assert 1 <= more <= less <= channels
    for kept in (less, more):
        assert kept % round_to == 0 or kept == channels


@pytest.mark.parametrize("amount", [-0.1, 1.0, 1.5, float("nan")])
def test_an_amount_outside_its_range_is_refused(amount: float) -> None:
    with pytest.raises(ConfigError, match="amount: must be at least 0 and below 1"):
        keep_count(8, amount, 1)


def test_a_round_to_or_a_scope_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="round_to: must be at least 1, but got 0"):
        choose({"a": torch.ones(4)}, 0.5, "local", 0)
    with pytest.raises(ConfigError, match="scope: must be local, stage or global, but got 'both'"):
        choose({"a": torch.ones(4)}, 0.5, "both", 1)  # type: ignore[arg-type]


def test_scores_that_are_not_finite_are_refused_with_the_groups_name() -> None:
    with pytest.raises(PruningError, match="conv1: scores must be finite"):
        choose({"conv1": torch.tensor([1.0, float("nan")])}, 0.5, "local", 1)


def test_the_lowest_scores_go() -> None:
    got = choose({"a": torch.tensor([4.0, 1, 3, 2])}, 0.5, "local", 1)
    assert got == {"a": [1, 3]}


@pytest.mark.parametrize("scope", ["local", "global"])
def test_equal_scores_go_by_index_and_in_exact_number(scope: str) -> None:
    got = choose({"a": torch.ones(100), "b": torch.ones(100)}, 0.3, scope, 1)  # type: ignore[arg-type]
    assert sum(map(len, got.values())) == 60
    assert all(indices == list(range(len(indices))) for indices in got.values())


@pytest.mark.parametrize("scope", ["local", "global"])
def test_nothing_goes_at_amount_zero_even_from_an_unaligned_group(scope: str) -> None:
    scores = {"a": torch.rand(12), "b": torch.rand(10)}
    assert choose(scores, 0.0, scope, 8) == {"a": [], "b": []}  # type: ignore[arg-type]


def test_the_global_scope_compares_groups_by_scores_over_their_mean() -> None:
    # over the mean: a = .4 .8 1.2 1.6, b = 1 1 1 1; without dividing, all of b would go
    scores = {"a": torch.tensor([100.0, 200, 300, 400]), "b": torch.ones(4)}
    assert choose(scores, 0.25, "global", 1) == {"a": [0, 1], "b": []}


def test_the_global_scope_never_empties_a_group() -> None:
    scores = {"spiky": torch.tensor([0.001] * 15 + [1000.0]), "flat": torch.ones(16)}
    got = choose(scores, 0.9, "global", 8)
    assert (len(got["spiky"]), len(got["flat"])) == (8, 8)
    assert 15 not in got["spiky"]


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    hundredths,
    st.sampled_from(["local", "global"]),
    st.sampled_from([1, 4, 8]),
    st.integers(0, 1000),
)
def test_whatever_goes_scored_no_higher_than_what_stays(
    sizes: list[int], percent: int, scope: str, round_to: int, seed: int
) -> None:
    torch.manual_seed(seed)
    scores = {f"g{number}": torch.rand(size) for number, size in enumerate(sizes)}
    got = choose(scores, percent / 100, scope, round_to)  # type: ignore[arg-type]
    for name, indices in got.items():
        stay = [i for i in range(len(scores[name])) if i not in indices]
        assert len(stay) >= min(round_to, len(scores[name]))
        assert indices == sorted(set(indices))
        if indices:
            assert scores[name][indices].max() <= scores[name][stay].min()


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    hundredths,
    st.booleans(),
    st.integers(0, 1000),
)
def test_global_counts_are_exact_until_one_channel_a_group_is_left(
    sizes: list[int], percent: int, comparable: bool, seed: int
) -> None:
    """Oracle 3: what may not empty a group goes elsewhere."""
    torch.manual_seed(seed)
    scores = {f"g{number}": torch.rand(size) for number, size in enumerate(sizes)}
    got = choose(scores, percent / 100, "global", 1, comparable=comparable)
    exact = Decimal(sum(sizes)) * (100 - percent) / 100
    kept = max(len(sizes), int(exact.to_integral_value(ROUND_HALF_UP)))
    assert sum(map(len, got.values())) == sum(sizes) - kept
    assert all(len(got[name]) < len(scores[name]) for name in scores)


def test_comparable_scores_are_ranked_as_they_are() -> None:
    # over the mean, a would lose two: see the test of the global scope above
    scores = {"a": torch.tensor([100.0, 200, 300, 400]), "b": torch.ones(4)}
    assert choose(scores, 0.25, "global", 1, comparable=True) == {"a": [], "b": [0, 1]}


def test_the_stage_scope_is_the_global_scope_of_every_level_alone() -> None:
    torch.manual_seed(0)
    scores = {name: torch.rand(16) for name in "abcde"}
    levels = {"a": 0, "b": 1, "c": 0, "d": 1, "e": 2}
    got = choose(scores, 0.4, "stage", 1, levels=levels)
    for level in range(3):
        members = {name: scores[name] for name in scores if levels[name] == level}
        alone = choose(members, 0.4, "global", 1)
        assert {name: got[name] for name in members} == alone
    assert list(got) == list("abcde")
    assert got != choose(scores, 0.4, "global", 1)


def test_the_stage_scope_without_levels_is_refused() -> None:
    with pytest.raises(ConfigError, match="scope: stage needs the resolution level"):
        choose({"a": torch.ones(4)}, 0.5, "stage", 1)


@pytest.mark.parametrize("scope", ["local", "stage", "global"])
@pytest.mark.parametrize("round_to", [1, 8])
def test_steps_of_the_original_count_end_where_one_step_ends(scope: str, round_to: int) -> None:
    """Oracle 6: 20 % and then 40 % of the original is 40 %, not 52 %."""
    torch.manual_seed(0)
    sizes = {"a": 40, "b": 64, "c": 24}
    levels = {"a": 0, "b": 0, "c": 1}
    fixed = {name: torch.rand(size) for name, size in sizes.items()}
    options = {"comparable": True, "levels": levels, "originals": sizes}
    left = {name: list(range(size)) for name, size in sizes.items()}
    for amount in (0.2, 0.4, 0.4):
        scores = {name: fixed[name][left[name]] for name in sizes}
        got = choose(scores, amount, scope, round_to, **options)  # type: ignore[arg-type]
        left = {n: [c for i, c in enumerate(left[n]) if i not in got[n]] for n in sizes}
    once = choose(fixed, 0.4, scope, round_to, **options)  # type: ignore[arg-type]
    if round_to == 1 or scope == "local":
        assert left == {n: [c for c in range(sizes[n]) if c not in once[n]] for n in sizes}
    assert all(len(kept) % round_to == 0 for kept in left.values())


@pytest.mark.parametrize("scope", ["local", "stage", "global"])
def test_a_group_that_lost_more_than_the_amount_already_loses_nothing(scope: str) -> None:
    scores, originals = {"a": torch.rand(4), "b": torch.rand(4)}, {"a": 16, "b": 16}
    levels = {"a": 0, "b": 1}
    got = choose(scores, 0.5, scope, 1, levels=levels, originals=originals)  # type: ignore[arg-type]
    assert got == {"a": [], "b": []}


def test_no_groups_give_no_removals() -> None:
    assert choose({}, 0.5, "global", 8) == {}
