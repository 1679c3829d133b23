"""Magnitude pruning of single weights."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from slimtune.compression.pruning.protocol import PRUNING, Scope, WeightPruning
from slimtune.compression.settings import settings
from slimtune.errors import PruningError


@PRUNING.register("l1_unstructured")
@settings
class L1Unstructured(WeightPruning):
    """Remove the weights that are nearest to zero: those with the lowest ``s_w = |w|``.

    Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015, arXiv:1506.02626. Exactly ``round(amount * n)`` of the n weights of
    convolutions and linear layers become 0; of equal weights, those of lower index. Scope
    ``global`` ranks all layers together, so that a layer of small weights may lose them all.
    Scope ``local`` ranks each layer by itself and keeps at least one weight. The amount counts
    weights that are 0 already, so that steps are cumulative. Biases and norms are not pruned.
    Without ``ends``, the first and the last layer are not pruned and not counted.
    """

    reference = "Han et al., NeurIPS 2015, arXiv:1506.02626"

    ends: Annotated[
        bool, Field(description="whether the first and the last layer lose weights too")
    ] = False

    def masks(
        self, weights: Mapping[str, Tensor], amount: float, scope: Scope
    ) -> dict[str, Tensor]:
        """Return what stays, see `WeightPruning.masks`.

        Raises:
            PruningError: there are only a first and a last layer, and they must stay.
        """
        names = list(weights) if self.ends else list(weights)[1:-1]
        if not names:
            raise PruningError(
                f"l1_unstructured: the network has {len(weights)} layers and the first and the "
                "last stay dense; set ends: true"
            )
        masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        if scope == "global":
            masks |= _largest({name: weights[name] for name in names}, amount)
        else:
            for name in names:
                masks |= _largest({name: weights[name]}, amount, minimum=1)
        return masks


def _largest(weights: Mapping[str, Tensor], amount: float, minimum: int = 0) -> dict[str, Tensor]:
    """Return where the weights lie that are left when the smallest ``amount`` of them is gone."""
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights.values()])
    removed = min(round(amount * len(sizes)), len(sizes) - minimum)
    stays = torch.ones_like(sizes, dtype=torch.bool)
    if removed:
        threshold = sizes.kthvalue(removed).values  # sorting millions of weights takes seconds
        stays = sizes >= threshold
        ties = (sizes == threshold).nonzero().flatten()
        stays[ties[: removed - int((~stays).sum())]] = False
    parts = stays.split([weight.numel() for weight in weights.values()])
    return {
        name: part.view(weight.shape)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }
