"""The soft schedule: channels zeroed at each epoch's end, removed when training is over."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from slimtune.compression.pruning.stage.masks import zero
from slimtune.compression.pruning.stage.schedules import cubic, ramp_epochs
from slimtune.compression.pruning.stage.stage import (
    KeptChannels,
    channel_groups,
    channels_to_remove,
)
from slimtune.compression.pruning.stage.surgery import remove_channels
from slimtune.compression.quantization.fake_quantizers.layers import quantizers_off, strip
from slimtune.compression.stages import Prune
from slimtune.compression.training.loop import Hooks


class SoftPruning:
    """Zeroes more and more channels while a network is trained, and removes them at the end.

    He, Kang, Dong, Fu, Yang, "Soft Filter Pruning for Accelerating Deep Convolutional Neural
    Networks", IJCAI 2018, arXiv:1808.06866, with the amount growing as in `schedules.cubic` over
    the first half of the epochs. At the end of each of those epochs all filters are scored by
    their latent weights, and those with the lowest scores are set to 0. They may grow again, no
    faster than the others, and then others are set to 0. When the full amount is reached, the
    choice is final: from then on everything that surgery will cut stays at exactly 0, also the
    scale and shift of norms and the weights that read the channels. Removal then changes nothing
    but the size. Works the same with fake quantizers in the layers (order ``spq``).

    Args:
        model: the network, with option-A shortcuts materialised, before it is trained.
        settings: method, amount, scope and rounding.
        batch: normalised calibration images, (n, channels, height, width), and their labels, on
            the model's device.
        seed: of the trial, for methods that draw.

    Raises:
        PruningError: the network cannot be traced.
    """

    def __init__(
        self, model: nn.Module, settings: Prune, *, batch: tuple[Tensor, Tensor], seed: int
    ) -> None:
        self._model, self._settings, self._batch = model, settings, batch
        with quantizers_off(model):
            self._groups = channel_groups(model, batch[0][:2], seed)
        # Taken now, because copies made while a network is trained would share its hooks.
        self._template = strip(copy.deepcopy(model))
        self._revivable: list[tuple[nn.Parameter, int, list[int]]] = []
        self._removals: dict[str, list[int]] = {}
        self._masks: dict[str, Tensor] = {}
        self._final = False

    def hooks(self) -> Hooks:
        """Return the callbacks for the training loop."""
        return Hooks(
            after_backward=self._calm_revivals,
            after_step=self._hold_zeros,
            after_epoch=self._after_epoch,
        )

    def remove(self) -> KeptChannels:
        """Remove the zeroed channels; return the indices kept of each layer that lost some."""
        if not self._final:
            self._finish()
        with quantizers_off(self._model):
            if any(self._removals.values()):
                self._removals = remove_channels(self._model, self._batch[0][:2], self._removals)
        return {
            layer: sorted(set(range(group.channels)) - set(self._removals[group.name]))
            for group in self._groups
            if self._removals[group.name]
            for layer, _ in group.producers
        }

    def _after_epoch(self, epoch: int, epochs: int) -> None:
        full = ramp_epochs(epochs)
        if epoch < full:
            self._zero_filters(self._choose(cubic(self._settings.amount, epoch / full)))
        elif not self._final:
            self._finish()

    def _choose(self, amount: float) -> dict[str, list[int]]:
        settings = dataclasses.replace(self._settings, amount=amount)
        return channels_to_remove(self._model, self._groups, settings, self._batch)

    @torch.no_grad()
    def _zero_filters(self, removals: Mapping[str, Sequence[int]]) -> None:
        """Zero the filters and biases that make the channels; they may grow again."""
        self._revivable = [
            (parameter, axis, list(removals[group.name]))
            for group in self._groups
            if removals[group.name]
            for _, layer in group.producers
            for parameter, axis in _filters(layer)
        ]
        for parameter, axis, rows in self._revivable:
            parameter.index_fill_(axis, _index(rows, parameter), 0.0)

    def _finish(self) -> None:
        """Make the choice final and zero everything that surgery will cut."""
        self._removals = self._choose(self._settings.amount)
        self._masks = survivors(self._template, self._batch[0][:2], self._removals)
        self._revivable, self._final = [], True
        self._hold_zeros()

    def _hold_zeros(self) -> None:
        zero(self._model, self._masks)

    @torch.no_grad()
    def _calm_revivals(self) -> None:
        """Let zeroed filters grow no faster than the mean filter of their layer.

        Behind a filter of zeros batch norm divides by the root of its epsilon: the gradient is
        some 300 times that of other filters, and one step would make this one the largest.
        """
        for parameter, axis, rows in self._revivable:
            if parameter.grad is None:
                continue
            chosen = _index(rows, parameter)
            filters = parameter.grad.movedim(axis, 0).reshape(parameter.shape[axis], -1)
            lengths = filters.norm(dim=1)
            others = torch.ones_like(lengths, dtype=torch.bool).index_fill_(0, chosen, False)
            factor = torch.ones_like(lengths)
            factor[chosen] = (lengths[others].mean() / lengths[chosen]).clamp(max=1.0)
            shape = [1] * parameter.ndim
            shape[axis] = -1
            parameter.grad.mul_(factor.nan_to_num(1.0).view(shape))


def _filters(layer: nn.Module) -> list[tuple[nn.Parameter, int]]:
    """Return the layer's weight and bias, each with the axis of output channels."""
    axis = 1 if getattr(layer, "transposed", False) else 0
    tensors = [(layer.weight, axis), (layer.bias, 0)]
    return [(p, at) for p, at in tensors if isinstance(p, nn.Parameter)]


def _index(rows: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=torch.int64, device=like.device)


def survivors(
    template: nn.Module, example: Tensor, removals: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Return what surgery leaves of each parameter that it cuts: boolean, True where it stays.

    Every value of ``template`` is set to its own position, and then the channels are cut: the
    positions that are left are those that stay. So this needs no knowledge of how layers are
    tied. Only the structure of ``template`` matters; its values are lost.
    """
    template.double()  # holds positions above 2^24 exactly
    before = {}
    for name, parameter in template.named_parameters():
        before[name] = parameter.shape
        positions = torch.arange(parameter.numel(), device=parameter.device)
        parameter.data = positions.to(torch.float64).view(parameter.shape)
    if any(removals.values()):
        remove_channels(template, example.double(), removals, numbers=False)
    masks = {}
    for name, parameter in template.named_parameters():
        stays = torch.zeros(before[name].numel(), dtype=torch.bool, device=parameter.device)
        stays[parameter.detach().flatten().long()] = True
        if not bool(stays.all()):
            masks[name] = stays.view(before[name])
    return masks
