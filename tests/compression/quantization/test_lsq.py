import math

import pytest
import torch

from slimtune.compression.quantization.fake_quantizers.learned import InputStatistics
from slimtune.compression.quantization.lsq import LsqInput, LsqWeight


def test_first_steps_are_twice_the_mean_over_the_root_of_the_largest_level() -> None:
    weight = torch.tensor([[1.0, -3.0, 0.0, 0.0]])  # what is 0 has been pruned
    assert float(LsqWeight(weight, 4).step.detach()) == pytest.approx(2 * 2 / math.sqrt(7))
    step = LsqInput(InputStatistics(limit=9, mean=0.5, signed=False, features=4), 4).step
    assert float(step.detach()) == pytest.approx(2 * 0.5 / math.sqrt(15))


def test_weights_have_the_restricted_range() -> None:
    quantizer = LsqWeight(torch.ones(1, 4), 3)
    integers, _ = quantizer.integers(torch.tensor([[-99.0, 0.0, 1e-9, 99.0]]))
    assert integers.tolist() == [[-3, 0, 0, 3]]


def test_oracle_15_the_steps_gradient_is_divided_by_the_root_of_count_and_level() -> None:
    weight = torch.tensor([[-2.0, -0.6, 0.2, 0.7, 3.0]])
    quantizer = LsqWeight(weight, 2)
    with torch.no_grad():
        quantizer.step.fill_(0.5)
    quantizer(weight).sum().backward()
    # with N = 1 the first element gives -1 where the paper's N = 2 gives -2
    assert float(quantizer.step.grad) == pytest.approx(  # type: ignore[arg-type]
        (-1 + -1 - 0.4 + 1 + 1) / math.sqrt(5 * 1), rel=1e-5
    )


def test_the_count_of_an_input_is_of_one_image() -> None:
    quantizer = LsqInput(InputStatistics(limit=9, mean=0.5, signed=False, features=4), 2)
    quantizer(torch.full((10, 2, 2), 99.0)).sum().backward()
    expected = 40 * 3 / math.sqrt(4 * 3)
    assert float(quantizer.step.grad) == pytest.approx(expected)  # type: ignore[arg-type]
