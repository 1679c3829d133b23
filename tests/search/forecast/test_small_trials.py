import numpy as np
import pytest

from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.search.forecast import small_trials
from slimtune.search.forecast.small_trials import (
    both_logits,
    compress_unchecked,
    few_images,
    small_trial,
)
from slimtune.workload.types import Workload


def test_few_images_are_spread_over_a_split(digits: Workload) -> None:
    few = few_images(digits, 8)
    assert len(few.train) == len(few.validation) == 8
    assert np.array_equal(few.train.images[-1], digits.train.images[-1])


@pytest.mark.parametrize(("limits", "images"), [({1e9: 4, 1e8: 8}, 32), ({1e9: 4, 1e5: 8}, 8)])
def test_a_network_with_many_macs_is_tried_on_fewer_images(
    digits: Workload, monkeypatch: pytest.MonkeyPatch, limits: dict[float, int], images: int
) -> None:
    monkeypatch.setattr(small_trials, "_FEWER_IMAGES", limits)
    assert len(few_images(digits).train) == images


def test_the_file_computes_what_the_network_does(digits: Workload) -> None:
    few = few_images(digits, 8)
    network, file = both_logits(few, compress_unchecked(few, Recipe(train=Train(epochs=0))))
    assert network.shape == file.shape == (8, 10)
    np.testing.assert_allclose(file, network, atol=1e-3)


def test_a_pruned_network_makes_a_smaller_file(digits: Workload) -> None:
    few = few_images(digits, 4)
    prune = {"method": "l1", "amount": 0.5, "round_to": 1}
    assert len(small_trial(few, {"prune": prune}).onnx) < len(small_trial(few, {}).onnx)
