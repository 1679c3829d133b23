"""The FSP matrix of oracle 17 (algorithms.md 5.3)."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.distillation import BaseDistillation, GramDistillation
from slimtune.compression.distillation.gram import flow_distance, flow_matrix
from slimtune.compression.distillation.protocol import Level

torch.manual_seed(0)
READS, GIVES = torch.randn(3, 4, 6, 6), torch.randn(3, 5, 6, 6)


def test_oracle_17_the_flow_matrix_is_the_worked_example() -> None:
    reads = torch.arange(1.0, 9.0).reshape(1, 2, 2, 2)
    gives = torch.tensor([1.0, 2.0, -1.0])[None, :, None, None].expand(1, 3, 2, 2)
    expected = torch.tensor([[[2.5, 5, -2.5], [6.5, 13, -6.5]]])
    torch.testing.assert_close(flow_matrix(reads, gives), expected)


def test_it_equals_the_sum_over_positions_that_defines_it() -> None:
    expected = torch.einsum("bihw,bjhw->bij", READS, GIVES) / 36
    torch.testing.assert_close(flow_matrix(READS, GIVES), expected)


def test_moving_positions_of_both_maps_alike_changes_nothing() -> None:
    order = torch.randperm(36)
    moved = (maps.flatten(2)[:, :, order].reshape(maps.shape) for maps in (READS, GIVES))
    torch.testing.assert_close(flow_matrix(*moved), flow_matrix(READS, GIVES))


@given(st.floats(-10, 10))
def test_scaling_one_map_scales_the_matrix(scale: float) -> None:
    expected = scale * flow_matrix(READS, GIVES)
    torch.testing.assert_close(flow_matrix(scale * READS, GIVES), expected, rtol=1e-4, atol=1e-5)


def test_the_larger_map_is_max_pooled_to_the_size_of_the_smaller() -> None:
    small = torch.randn(3, 5, 3, 3)
    expected = flow_matrix(F.max_pool2d(READS, 2), small)
    torch.testing.assert_close(flow_matrix(READS, small), expected)
    torch.testing.assert_close(flow_matrix(small, READS), expected.transpose(1, 2))


def test_the_term_is_the_mean_share_by_which_the_matrices_differ(make_batch) -> None:
    """Doubled outputs double the matrix: the distance is the teacher's whole energy."""
    levels = (Level(READS, GIVES, READS, GIVES), Level(READS, 2 * GIVES, READS, GIVES))
    batch = make_batch(levels=levels)
    term = GramDistillation(feature_weight=3.0).loss(batch) - BaseDistillation().loss(batch)
    assert term.item() == pytest.approx(3.0 * (0 + 1) / 2, rel=1e-4)


@given(st.floats(1e-2, 1e3), st.integers(1, 3))
def test_the_scale_of_both_networks_and_repeated_channels_do_not_matter(
    scale: float, times: int
) -> None:
    ours, theirs = READS.roll(1, 0), READS
    expected = flow_distance(Level(ours, GIVES, theirs, GIVES))
    wide = GIVES.repeat(1, times, 1, 1)
    scaled = flow_distance(Level(scale * ours, wide, scale * theirs, wide))
    torch.testing.assert_close(scaled, expected, rtol=1e-3, atol=1e-4)


def test_maps_that_are_dead_altogether_keep_the_distance_finite() -> None:
    dead = torch.zeros(2, 3, 4, 4)
    for student in (dead, dead + 1):
        assert torch.isfinite(flow_distance(Level(student, student, dead, dead)))


def test_a_teacher_is_needed_unless_both_weights_are_zero() -> None:
    assert GramDistillation(alpha=0).needs_teacher
    assert not GramDistillation(alpha=0, feature_weight=0).needs_teacher
