"""Input quantizers that clip at one limit."""

import torch
from torch import Tensor, nn

from slimtune.compression.quantization.fake_quantizers.fake_quant import (
    SMALLEST_STEP,
    Levels,
    fake_quantize,
)
from slimtune.compression.quantization.fake_quantizers.layers import InputQuantizer


class ClippedInput(InputQuantizer):
    """Clips to [0, limit], or [-limit, limit] for inputs with a sign, and rounds to levels.

    Args:
        limit: the first one, above 0.
        levels: of which the largest stands for the limit.
        learned: whether the limit is trained.
        rounds: whether its gradient counts what rounding does below the limit, or is 0 there.
    """

    limit: Tensor

    def __init__(
        self, limit: float, levels: Levels, *, learned: bool = True, rounds: bool = True
    ) -> None:
        super().__init__()
        value = torch.tensor(float(limit))
        if learned:
            self.limit = nn.Parameter(value)
        else:
            self.register_buffer("limit", value)
        self.levels, self.rounds = levels, rounds

    def forward(self, x: Tensor) -> Tensor:
        """Return the nearest levels, shaped like ``x``."""
        return fake_quantize(x, self._step(), self.levels, rounds=self.rounds)

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that comes out."""
        step = float(self._step().detach())
        return step * self.levels.low, step * self.levels.high

    def _step(self) -> Tensor:
        return (self.limit / self.levels.high).clamp_min(SMALLEST_STEP)


def uniform_levels(bits: int, signed: bool) -> Levels:
    """Return 0..2^bits - 1, or with a sign -(2^(bits-1) - 1)..2^(bits-1) - 1."""
    return Levels(2 ** (bits - 1) - 1 if signed else 2**bits - 1, signed=signed)
