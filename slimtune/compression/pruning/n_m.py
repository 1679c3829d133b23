"""N:M semi-structured pruning."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, Scope, WeightPruning
from slimtune.compression.settings import settings
from slimtune.errors import PruningError


@PRUNING.register("n_m")
@settings
class NM(WeightPruning):
    """Of every m consecutive weights along the input channels, keep the n largest ``|w|``.

    Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, arXiv:2104.08378 (2:4 by
    default). Of equal weights, those of lower index are removed. The pattern removes ``1 - n/m``
    of every layer that it fits, so that amount and scope have no effect, except that amount 0
    prunes nothing. The first layer is not pruned, nor are layers whose input channels (of one
    group) are not a multiple of m, such as depthwise convolutions.
    """

    uses_amount = False
    reference = "Mishra et al., 2021, arXiv:2104.08378"

    n: Annotated[
        int, Field(ge=1, le=15, description="weights kept in each block of m; less than m")
    ] = 2
    m: Annotated[int, Field(ge=2, le=16, description="consecutive input channels per block")] = 4

    def __post_init__(self) -> None:
        if self.n >= self.m:
            raise ValueError(
                f"n_m: n must be below m, but got {self.n} of {self.m}; lower n or raise m"
            )

    def masks(
        self, weights: Mapping[str, Tensor], amount: float, scope: Scope
    ) -> dict[str, Tensor]:
        """Return what stays, see `WeightPruning.masks`; ``amount`` and ``scope`` have no effect.

        Raises:
            PruningError: the pattern fits no layer but perhaps the first.
        """
        masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        fitting = [name for name in list(weights)[1:] if weights[name].shape[1] % self.m == 0]
        if not fitting:
            raise PruningError(
                f"n_m: no layer after the first has a multiple of m = {self.m} input channels; "
                "choose another m, or another pruning method"
            )
        for name in fitting:
            masks[name] = self._mask(weights[name])
        return masks

    def _mask(self, weight: Tensor) -> Tensor:
        last = weight.detach().abs().movedim(1, -1)
        blocks = last.reshape(-1, self.m)
        goes = torch.argsort(blocks, dim=1, stable=True)[:, : self.m - self.n]
        stays = torch.ones_like(blocks, dtype=torch.bool).scatter_(1, goes, False)
        return stays.view(last.shape).movedim(-1, 1)
