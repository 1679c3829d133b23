"""In which numbers convolutions are computed while a network is trained."""

from typing import Literal

import torch

from slimtune.conditions import Precision

PrecisionChoice = Literal["auto", "float32", "bfloat16"]

SMALL_IMAGE = 16
"""Pixels a side below which converting costs what the shorter numbers save: 1.0x on digits."""


def computing_in(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which networks are run to be trained.

    With ``"bfloat16"``, convolutions and matrix products take operands rounded to 8 significant
    bits and add up in float32. Weights, gradients of weights, batch-norm statistics, the
    optimizer and, as `train_network` and the fake quantizers see to, losses and rounding stay
    float32.

    Args:
        precision: of the operands.
        device: that the network is on.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def decide(wanted: PrecisionChoice, device: str, image_shape: tuple[int, int, int]) -> Precision:
    """Return the precision to train in, with ``"auto"`` decided for this machine.

    ``"auto"`` is bfloat16 where there are instructions for it (without, it is slower than
    float32) and images are large enough to gain. It follows from the machine and the images
    alone, never from a measured time, so that the same search decides the same again.

    Args:
        wanted: as the user set it.
        device: of the trials, ``"cpu"`` or a torch device name.
        image_shape: (channels, height, width).
    """
    if wanted != "auto":
        return wanted
    gains = min(image_shape[1:]) >= SMALL_IMAGE
    return "bfloat16" if gains and is_native(device) else "float32"


def is_native(device: str) -> bool:
    """Return whether a device multiplies bfloat16 numbers in hardware.

    Of processors, only those with AVX-512-BF16 or AMX are known to gain. Of a GPU that this
    process does not see, such as a cluster's, it is taken for granted.

    Args:
        device: ``"cpu"`` or a torch device name.
    """
    if not device.startswith("cuda"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
