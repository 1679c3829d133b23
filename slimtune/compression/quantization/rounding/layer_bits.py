"""The bits of each layer's weights, and the settings of quantizers that choose them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from slimtune.compression.network.layers import WeightLayer

Bits = Annotated[int, Field(ge=2, le=8, description="bits of a weight in the file")]
FirstLastBits = Annotated[
    int, Field(ge=2, le=8, description="bits of a weight in the first and the last layer")
]
StageBits = Annotated[
    str,
    Field(
        pattern=r"^([2-8](-[2-8])*)?$",
        description="bits of each resolution level, such as 8-4-2; the last holds for later "
        "levels; empty: the same everywhere",
    ),
]
CalibrationImages = Annotated[
    int, Field(ge=16, le=4096, description="training images that ranges are taken from")
]
Granularity = Annotated[
    Literal["channel", "tensor"],
    Field(description="one scale for each output channel, or one for the whole layer"),
]
ActivationBits = Annotated[
    Literal[8, 32], Field(description="8: uint8 on fixed grids, integer kernels; 32: float")
]


def layer_bits(
    layers: Sequence[WeightLayer], bits: int, first_last_bits: int, stage_bits: str
) -> dict[str, int]:
    """Return the bits of each layer's weights, by the weight's qualified name.

    Args:
        layers: as `weight_layers` gives them.
        bits: of every layer, unless one of the next two says otherwise.
        first_last_bits: of the network's first and last layer, whatever their level.
        stage_bits: bits of resolution level 0, 1, 2..., joined by ``-``; the last holds for all
            later levels. Empty: ``bits`` everywhere.
    """
    of_level = [int(part) for part in stage_bits.split("-")] if stage_bits else [bits]
    return {
        layer.weight_name: first_last_bits
        if layer.first or layer.last
        else of_level[min(layer.level, len(of_level) - 1)]
        for layer in layers
    }
