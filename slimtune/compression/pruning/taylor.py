"""Taylor pruning: channels by how much the loss would change without their weights."""

import torch
from torch import Tensor

from slimtune.compression.pruning.group_parameters import GroupParameter, filters, scales, shifts
from slimtune.compression.pruning.protocol import PRUNING, ChannelGroup, ChannelPruning
from slimtune.compression.settings import settings
from slimtune.errors import PruningError


@PRUNING.register("taylor")
@settings
class Taylor(ChannelPruning):
    """Score of channel k: ``s_k = sum over its weights w of |dL/dw * w|``.

    Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network Pruning",
    CVPR 2019, arXiv:1906.10771: to first order the loss changes by ``g w`` when w becomes 0.
    Weights are those of the filters and their biases, and the scales and shifts of batch norms.
    Absolute values are taken weight by weight: batch norm makes the loss blind to a filter's
    length, so that the plain sum of ``g w`` over its weights would be 0 whatever its use.
    Losses compare across layers, so the scope global ranks the scores as they are.
    """

    reference = "Molchanov et al., CVPR 2019, arXiv:1906.10771"
    comparable = True
    needs_gradients = True

    def scores(self, group: ChannelGroup) -> Tensor:
        """Return the sums of absolute first-order changes, (channels,).

        Raises:
            PruningError: no parameter of the group has a gradient.
        """
        parameters = [*filters(group), *scales(group), *shifts(group)]
        changes = [
            _change(parameter) for parameter in parameters if parameter.tensor.grad is not None
        ]
        if not changes:
            raise PruningError(
                f"{group.name}: taylor needs gradients, but all parameters of this group are "
                "frozen; set requires_grad, or use l1, l2 or fpgm"
            )
        return torch.stack(changes).sum(dim=0)


def _change(parameter: GroupParameter) -> Tensor:
    weight, gradient = parameter.tensor, parameter.tensor.grad
    assert gradient is not None
    return parameter.rows(weight.detach() * gradient).abs().sum(dim=1)
