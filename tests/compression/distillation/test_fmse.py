import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.distillation import BaseDistillation, FeatureMse
from slimtune.compression.distillation.fmse import feature_distance
from slimtune.compression.distillation.protocol import Level

torch.manual_seed(0)
MAPS = torch.randn(4, 6, 5, 5).relu()


def level(student: torch.Tensor, teacher: torch.Tensor) -> Level:
    return Level(student, student, teacher, teacher)


def test_equal_maps_cost_nothing_beside_the_logits(make_batch) -> None:
    batch = make_batch(levels=(level(MAPS, MAPS),))
    assert FeatureMse().loss(batch).item() == BaseDistillation().loss(batch).item()


@given(st.floats(0, 3))
def test_scaled_maps_cost_the_square_of_the_excess(scale: float) -> None:
    """(c - 1)^2 times the mean of F^2 (algorithms.md 5.2), here of F in units of its spread."""
    spread = MAPS.numpy().std(axis=(0, 2, 3))
    expected = (scale - 1) ** 2 * ((MAPS.numpy() / spread[:, None, None]) ** 2).mean()
    rounding = 2**-22 / max(abs(scale - 1), 2**-24)  # float32 holds the scaled map, not its excess
    tolerance = pytest.approx(expected, rel=1e-4 + rounding, abs=1e-12)
    assert feature_distance(scale * MAPS, MAPS).item() == tolerance


@given(st.floats(1e-3, 1e3))
def test_the_scale_of_both_networks_does_not_matter(scale: float) -> None:
    student = MAPS.roll(1, 0)
    expected = feature_distance(student, MAPS)
    torch.testing.assert_close(feature_distance(scale * student, scale * MAPS), expected)


@given(st.floats(1e-3, 1e3))
def test_the_unit_of_a_channel_does_not_matter(unit: float) -> None:
    student = MAPS.roll(1, 0)
    units = torch.tensor([unit, 1, unit, 1, 1, 1])[:, None, None] ** 0.25
    expected = feature_distance(student, MAPS)
    torch.testing.assert_close(feature_distance(student * units, MAPS * units), expected)


def test_a_channel_that_is_dead_in_the_teacher_does_not_drown_the_rest() -> None:
    teacher = MAPS.clone()
    teacher[:, 0] = 0
    student = teacher + 0.1
    alive = feature_distance(student[:, 1:], teacher[:, 1:])
    assert alive < feature_distance(student, teacher) < 100 * alive


def test_maps_that_are_dead_altogether_keep_the_loss_finite(make_batch) -> None:
    dead = torch.zeros(2, 3, 4, 4)
    for student in (dead, dead + 1):
        assert torch.isfinite(FeatureMse().loss(make_batch(levels=(level(student, dead),))))


def test_stages_are_averaged_and_weighted(make_batch) -> None:
    levels = (level(2 * MAPS, MAPS), level(MAPS, MAPS))
    features = [
        FeatureMse(feature_weight=w).loss(make_batch(levels=levels)).item()
        for w in (0.0, 1.0, 10.0)
    ]
    one = feature_distance(2 * MAPS, MAPS).item() / 2
    assert features[1] - features[0] == pytest.approx(one, rel=1e-5)
    assert features[2] - features[0] == pytest.approx(10 * one, rel=1e-5)


def test_a_teacher_is_needed_unless_both_weights_are_zero() -> None:
    assert FeatureMse(alpha=0).needs_teacher and FeatureMse(feature_weight=0).needs_teacher
    assert not FeatureMse(alpha=0, feature_weight=0).needs_teacher
