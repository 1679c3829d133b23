"""The per-epoch schedule: removes a share of the remaining channels after each epoch."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from slimtune.compression.pruning.stage.schedules import gone_after
from slimtune.compression.pruning.stage.soft import SoftPruning, survivors
from slimtune.compression.pruning.stage.stage import channel_groups, channels_to_remove
from slimtune.compression.pruning.stage.surgery import remove_channels
from slimtune.compression.stages import Prune


class PerEpochPruning(SoftPruning):
    """Removes ``rate`` of the remaining channels at the end of every epoch, for good.

    Makenali, Rokh, Azarpeyvand, "Integrating Pruning with Quantization for Efficient DNN
    Compression", arXiv:2509.04244, where filters go like this while the quantized network is
    trained (order ``spq``). After epoch n, ``keep_count(N, gone_after(rate, n), round_to)`` of N
    channels stay. Only the remaining filters are ranked, by their latent weights, because filters
    of zeros would lie nearest to the geometric median and be chosen again. Removed channels are
    held at exactly 0 until surgery, also in the norms and in the weights that read them.

    Args:
        model: as for `SoftPruning`.
        settings: method, rate, scope and rounding; the amount is ignored.
        batch: as for `SoftPruning`.
        seed: as for `SoftPruning`.

    Raises:
        PruningError: the network cannot be traced.
    """

    def __init__(
        self, model: nn.Module, settings: Prune, *, batch: tuple[Tensor, Tensor], seed: int
    ) -> None:
        super().__init__(model, settings, batch=batch, seed=seed)
        self._seed = seed
        self._originals = {group.name: group.channels for group in self._groups}
        self._removals = {name: [] for name in self._originals}
        self._final = True  # what has gone never comes back, from the first epoch on

    def _after_epoch(self, epoch: int, epochs: int) -> None:
        settings = dataclasses.replace(
            self._settings, amount=gone_after(self._settings.rate, epoch)
        )
        self._removals = self._more(settings)
        self._masks = survivors(copy.deepcopy(self._template), self._batch[0][:2], self._removals)
        self._hold_zeros()

    def _more(self, settings: Prune) -> dict[str, list[int]]:
        """Return the channels gone so far and those that go now, by the group's name."""
        example = self._batch[0][:2]
        left = {
            name: sorted(set(range(size)) - set(self._removals[name]))
            for name, size in self._originals.items()
        }
        network = self._latent()
        if any(self._removals.values()):
            remove_channels(network, example, self._removals)
        groups = channel_groups(network, example, self._seed)
        chosen = channels_to_remove(
            network, groups, settings, self._batch, originals=self._originals
        )
        return _joined(self._removals, left, chosen)

    @torch.no_grad()
    def _latent(self) -> nn.Module:
        """Return a plain copy of the network with its latent weights and its statistics."""
        network = copy.deepcopy(self._template)
        own = {**dict(self._model.named_parameters()), **dict(self._model.named_buffers())}
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            tensor.copy_(own[name])
        return network.eval()


def while_training(
    model: nn.Module, settings: Prune, *, batch: tuple[Tensor, Tensor], seed: int
) -> SoftPruning:
    """Return what prunes while a network is trained: by the schedule per_epoch, else softly.

    Raises:
        PruningError: the network cannot be traced.
    """
    kind = PerEpochPruning if settings.schedule == "per_epoch" else SoftPruning
    return kind(model, settings, batch=batch, seed=seed)


def _joined(
    removed: Mapping[str, Sequence[int]],
    left: Mapping[str, Sequence[int]],
    chosen: Mapping[str, Sequence[int]],
) -> dict[str, list[int]]:
    """Return all that is gone; ``chosen`` counts among those that were left."""
    return {
        name: sorted([*earlier, *(left[name][index] for index in chosen.get(name, ()))])
        for name, earlier in removed.items()
    }
