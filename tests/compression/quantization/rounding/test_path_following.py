"""Oracle 14: what greedy path following must do, from algorithms.md 4.2, (i) to (viii)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slimtune.compression.quantization.rounding.path_following import follow_path, strongest_first

Array = np.ndarray


def ours(weight: Array, x: Array, behind: Array, step: float, largest: int) -> Array:
    """Integers for weight (out, d) and inputs (m, d), all of one group."""
    chosen = follow_path(
        torch.from_numpy(weight)[None],
        torch.from_numpy(behind.T @ x)[None],
        torch.from_numpy(behind.T @ behind)[None],
        torch.full((1, len(weight)), step, dtype=torch.float64),
        largest,
    )
    return chosen[0].numpy()


def streaming(
    weight: Array, x: Array, behind: Array, step: float, largest: int
) -> tuple[Array, Array]:
    """The paper's recursion for one neuron after the other: integers, and the last u of each."""
    chosen, last = np.zeros_like(weight), []
    for neuron, w in enumerate(weight):
        u = np.zeros(len(x))
        for t, value in enumerate(w):
            u = u + value * x[:, t]
            length = behind[:, t] @ behind[:, t]
            nearest = np.rint(behind[:, t] @ u / length / step)
            chosen[neuron, t] = np.clip(nearest, -largest, largest)
            u = u - step * chosen[neuron, t] * behind[:, t]
        last.append(u)
    return chosen, np.stack(last)


def nearest(weight: Array, step: float, largest: int) -> Array:
    rounded: Array = np.clip(np.rint(weight / step), -largest, largest)
    return rounded


def case(seed: int, d: int, m: int = 200, out: int = 5) -> tuple[Array, Array, Array]:
    """Weights, correlated inputs, and inputs that are a little off."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + rng.normal(size=(m, 1))
    return rng.normal(size=(out, d)), x, x + 0.1 * rng.normal(size=x.shape)


@pytest.mark.parametrize("d", [1, 7, 64, 65, 150])
def test_oracle_14_ii_the_covariance_form_equals_streaming(d: int) -> None:
    weight, x, behind = case(d, d)
    expected, _ = streaming(weight, x, behind, 0.3, 7)
    assert np.array_equal(ours(weight, x, behind, 0.3, 7), expected)


def test_oracle_14_i_what_streaming_ends_with_is_the_error_of_the_output() -> None:
    weight, x, behind = case(1, 70)
    _, last = streaming(weight, x, behind, 0.3, 7)
    error = x @ weight.T - behind @ (0.3 * ours(weight, x, behind, 0.3, 7)).T
    assert np.allclose(error, last.T, atol=1e-9)


def test_oracle_14_iii_with_orthonormal_inputs_every_weight_goes_to_the_nearest() -> None:
    rng = np.random.default_rng(2)
    x = np.linalg.qr(rng.normal(size=(100, 80)))[0]
    weight = rng.normal(size=(6, 80))
    assert np.array_equal(ours(weight, x, x, 0.4, 3), nearest(weight, 0.4, 3))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 2))
def test_oracle_14_iv_equal_columns_make_first_order_sigma_delta(seed: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(20, 1)), 90, axis=1)
    weight = rng.uniform(-3, 3, size=(4, 90))
    largest = int(3 / step) + 2  # so that nothing is clipped
    error = np.cumsum(weight - step * ours(weight, x, x, step, largest), axis=1)
    assert np.abs(error).max() <= step / 2 + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_oracle_14_v_on_correlated_inputs_the_error_is_below_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 60)) + 0.2 * rng.normal(size=(200, 60))
    weight = rng.normal(size=(5, 60))
    wanted = x @ weight.T
    greedy = np.linalg.norm(wanted - x @ (0.3 * ours(weight, x, x, 0.3, 15)).T)
    rounded = np.linalg.norm(wanted - x @ (0.3 * nearest(weight, 0.3, 15)).T)
    assert greedy < 0.6 * rounded


def test_oracle_14_vi_the_worked_example() -> None:
    weight, x = np.array([[0.6, 0.6, 0.6]]), np.array([[1.0, 1, 0], [0, 1, 1]])
    chosen = ours(weight, x, x, 1.0, 1)
    assert chosen.tolist() == [[1, 0, 1]]
    error = (x @ (weight - chosen).T)[:, 0]
    assert error == pytest.approx([0.2, 0.2]) and error @ error == pytest.approx(0.08)
    rounded = (x @ (weight - nearest(weight, 1.0, 1)).T)[:, 0]
    assert rounded == pytest.approx([-0.8, -0.8]) and rounded @ rounded == pytest.approx(1.28)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 127), st.floats(1e-3, 10))
def test_oracle_14_vii_every_choice_is_a_whole_number_within_the_alphabet(
    seed: int, largest: int, step: float
) -> None:
    weight, x, behind = case(seed, 30, m=20)
    chosen = ours(weight, x, behind, step, largest)
    assert np.array_equal(chosen, np.rint(chosen)) and np.abs(chosen).max() <= largest


def test_oracle_14_viii_on_an_ever_finer_grid_the_error_vanishes() -> None:
    weight, x, _ = case(3, 40)
    sizes = []
    for step in (1e-1, 1e-3, 1e-5):
        chosen = step * ours(weight, x, x, step, 10**9)
        sizes.append(np.abs(x @ (weight - chosen).T).max())
    assert sizes[1] < sizes[0] / 50 and sizes[2] < sizes[1] / 50


def test_pruned_weights_and_inputs_that_are_always_zero_get_zero() -> None:
    weight, x, behind = case(4, 70)
    weight[:, 3], weight[1] = 0, 0
    behind[:, 5] = 0
    chosen = ours(weight, x, behind, 0.3, 7)
    assert not chosen[:, 3].any() and not chosen[1].any() and not chosen[:, 5].any()
    assert chosen[0].any() and np.isfinite(chosen).all()


def test_groups_do_not_see_each_other() -> None:
    cases = [case(seed, 10) for seed in (5, 6)]
    stacked = follow_path(
        torch.from_numpy(np.stack([w for w, _, _ in cases])),
        torch.from_numpy(np.stack([b.T @ x for _, x, b in cases])),
        torch.from_numpy(np.stack([b.T @ b for _, _, b in cases])),
        torch.full((2, 5), 0.3, dtype=torch.float64),
        7,
    )
    for index, (weight, x, behind) in enumerate(cases):
        assert np.array_equal(stacked[index].numpy(), ours(weight, x, behind, 0.3, 7))


def test_strongest_first_is_the_same_rule_on_sorted_columns() -> None:
    weight, x, behind = case(7, 70)
    behind[:, 4] = 0
    order = np.argsort(-np.square(behind).sum(0))
    expected = np.empty_like(weight)
    expected[:, order] = ours(weight[:, order], x[:, order], behind[:, order], 0.3, 7)
    chosen = strongest_first(
        torch.from_numpy(np.stack([weight, 2 * weight])),
        torch.from_numpy(np.stack([behind.T @ x] * 2)),
        torch.from_numpy(np.stack([behind.T @ behind] * 2)),
        torch.tensor([[0.3] * 5, [0.6] * 5], dtype=torch.float64),
        7,
    )
    assert np.array_equal(chosen[0].numpy(), expected)
    assert torch.equal(chosen[0], chosen[1])  # twice the weights on twice the grid
