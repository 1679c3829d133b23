"""Local response normalisation as the one operator that ONNX has for it."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


def replace_local_responses(network: nn.Module) -> nn.Module:
    """Replace every `nn.LocalResponseNorm` by a layer that is exported as one ``LRN``, in place.

    torch computes it with an average over a third axis, of which its exporters make some 50
    operators and a branch. ONNX sums over as many channels before as behind, torch over one more
    before where the size is even: those stay as they are.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.LocalResponseNorm and child.size % 2:
                setattr(parent, name, OneOperator(child))
    return network


@dataclass(frozen=True)
class _Settings:
    size: int
    alpha: float
    beta: float
    k: float


class OneOperator(nn.Module):
    """Computes what an `nn.LocalResponseNorm` does.

    Args:
        norm: that is replaced; of odd size.
    """

    def __init__(self, norm: nn.LocalResponseNorm) -> None:
        super().__init__()
        self.settings = _Settings(norm.size, float(norm.alpha), float(norm.beta), float(norm.k))
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, height, width) to the same shape."""
        result: Tensor = _LocalResponse.apply(x, self.settings)  # type: ignore[no-untyped-call]
        return result


class _LocalResponse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, settings: _Settings) -> Tensor:
        return nn.functional.local_response_norm(x, **asdict(settings))

    @staticmethod
    def symbolic(g: Any, x: Any, settings: _Settings) -> Any:
        """Return the node that torch's TorchScript exporter writes."""
        attributes = {"alpha_f": settings.alpha, "beta_f": settings.beta, "bias_f": settings.k}
        node = g.op("LRN", x, size_i=settings.size, **attributes)
        return node.setType(x.type())
