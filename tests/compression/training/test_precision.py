import pytest
import torch
from torch import nn

from slimtune.compression.training.precision import computing_in, decide, is_native

CIFAR, DIGITS = (3, 32, 32), (1, 8, 8)


@pytest.mark.parametrize("shape", [CIFAR, DIGITS])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_what_the_user_says_is_done_on_any_machine(
    shape: tuple[int, int, int], device: str
) -> None:
    assert decide("float32", device, shape) == "float32"
    assert decide("bfloat16", device, shape) == "bfloat16"


def test_auto_is_bfloat16_only_with_instructions_and_large_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for found, expected in (
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({}, "float32"),  # another architecture
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        assert decide("auto", "cpu", CIFAR) == expected
        assert decide("auto", "cpu", DIGITS) == "float32"


def test_of_a_gpu_that_is_elsewhere_bfloat16_is_taken_for_granted() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, which is asked")
    assert is_native("cuda:0") and decide("auto", "cuda:0", CIFAR) == "bfloat16"


def test_convolutions_compute_in_short_numbers_and_their_weights_stay_long() -> None:
    layer, images = nn.Conv2d(3, 8, 3), torch.randn(2, 3, 9, 9)
    with computing_in("bfloat16", torch.device("cpu")):
        short = layer(images)
    with computing_in("float32", torch.device("cpu")):
        long = layer(images)
    assert short.dtype == torch.bfloat16 and long.dtype == torch.float32
    torch.testing.assert_close(short.float(), long, rtol=0.02, atol=0.02)
    short.float().sum().backward()
    assert layer.weight.dtype == torch.float32 == layer.weight.grad.dtype
