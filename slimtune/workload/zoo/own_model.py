"""A network of the user's own, by a function or class that builds it."""

import copy

from torch import nn

from slimtune.errors import ModelError
from slimtune.workload.computed_weights import detach_computed_weights
from slimtune.workload.factories import call_factory
from slimtune.workload.own_code import called
from slimtune.workload.zoo.outputs import FirstLogits


def own_model(reference: str, num_classes: int, in_channels: int) -> nn.Module:
    """Build the network that ``FILE.py:NAME`` or ``MODULE:NAME`` makes.

    NAME is called with ``num_classes`` and ``in_channels`` (or ``in_chans``) by keyword, where its
    signature takes them, and returns a network that maps (n, channels, height, width) to
    logits, (n, num_classes), or to several tensors that hold them, see `FirstLogits`. Called
    again it must build the same layers: saved weights are
    loaded into what it returns.

    Args:
        reference: of a function or class.
        num_classes: width of the last layer.
        in_channels: channels of an image.

    Raises:
        ConfigError: nobody allowed to run this code.
        ModelError: it cannot be loaded, fails, or returns something else than a network.
    """
    network = call_factory(
        reference,
        ModelError,
        num_classes=num_classes,
        in_channels=in_channels,
        in_chans=in_channels,
    )
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise ModelError(f"{called(reference)} returned {kind}, expected nn.Module")
    detach_computed_weights(network)
    network.register_forward_hook(FirstLogits(num_classes))
    try:
        copy.deepcopy(network)  # every trial works on a copy, and in another process
    except (Exception, SystemExit) as error:
        words = (str(error).splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {words}"
        raise ModelError(
            f"{called(reference)} returned a network that cannot be copied: {reason}"
        ) from error
    return network.float().cpu().train()
