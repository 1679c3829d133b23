"""From a recipe's training settings to an optimizer, its learning rates, and one step."""

import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from slimtune.compression.stages import Train

_PRECONDITION_EVERY = 20
"""Steps between two roots of Shampoo's statistics, which cost more than a step of a small net."""


class Learner:
    """A network, its optimizer and its learning-rate schedule.

    Args:
        model: the network; parameters that do not require a gradient are left alone.
        settings: optimizer, learning rate, schedule and decay.
        steps: that the schedule is spread over.
        extra: modules trained along that are not part of the network.
    """

    def __init__(
        self, model: nn.Module, settings: Train, steps: int, extra: Iterable[nn.Module] = ()
    ) -> None:
        self.model = model
        self._extra = tuple(extra)
        self._optimizer = make_optimizer([model, *self._extra], settings)
        factor = lr_factor(settings, steps)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, factor)

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def train(self) -> None:
        """Put everything into train mode."""
        for module in (self.model, *self._extra):
            module.train()

    def step(self, loss: Tensor, after_backward: Callable[[], None] = lambda: None) -> None:
        """Go one step against the gradient of ``loss``."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        after_backward()
        self._optimizer.step()
        self._schedule.step()


def make_optimizer(models: Iterable[nn.Module], settings: Train) -> torch.optim.Optimizer:
    """Return the settings' optimizer over all trainable parameters of ``models``.

    Weight decay is on matrices and filters only: decaying norms, biases and the scales of
    quantizers helps nobody.

    - ``sgd``: Nesterov momentum.
    - ``adamw``: Loshchilov, Hutter, ICLR 2019, arXiv:1711.05101; betas (momentum, 0.999).
    - ``shampoo``: Gupta, Koren, Singer, ICML 2018, arXiv:1802.09568, in the scalable form of Anil
      et al. 2020, arXiv:2002.09018, of pytorch-optimizer: each step has the length of SGD's
      (grafting), so learning rates carry over. Vectors and scalars take the plain SGD step.
    """
    trained = [p for model in models for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999))
    if settings.optimizer == "shampoo":
        # Loaded here: it brings torch.distributed and sympy, which cost every process seconds.
        library: Any = import_module("pytorch_optimizer")
        optimizer: torch.optim.Optimizer = library.ScalableShampoo(
            groups,
            lr=settings.lr,
            betas=(settings.momentum, 0.999),
            start_preconditioning_step=_PRECONDITION_EVERY,
            preconditioning_compute_steps=_PRECONDITION_EVERY,
            skip_preconditioning_rank_lt=2,
            # One matrix a dimension, as in the paper. Merging dimensions into one of up to 512
            # treats a small filter bank as a vector, and its roots take seven times as long.
            shape_interpretation=False,
        )
        return optimizer
    return torch.optim.SGD(
        groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0
    )


def lr_factor(settings: Train, steps: int) -> Callable[[int], float]:
    """Return what the first learning rate is multiplied by at each step, counted from 0.

    ``cosine``: ``(1 + cos(pi t)) / 2`` with t the share of steps done; ``step``: ``decay`` from
    half way and ``decay^2`` from three quarters; ``exponential``: ``decay^t``; ``constant``: 1.

    Args:
        settings: schedule and decay.
        steps: of the whole fine-tune; later steps count as the last.
    """
    decay = settings.decay
    shapes: dict[str, Callable[[float], float]] = {
        "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
        "step": lambda t: float(decay ** ((t >= 0.5) + (t >= 0.75))),
        "exponential": lambda t: float(decay**t),
        "constant": lambda t: 1.0,
    }
    shape = shapes[settings.schedule]
    return lambda step: shape(min(step / max(steps, 1), 1.0))
