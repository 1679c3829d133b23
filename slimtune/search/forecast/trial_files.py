"""Exports a network before it is trained, so that a search that cannot export ends at once."""

import dataclasses
from collections.abc import Iterable

from torch import nn

from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.errors import (
    ExportMismatchError,
    ModelError,
    NonFiniteError,
    SlimtuneError,
    in_one_line,
)
from slimtune.measurement.accuracy import check_parity
from slimtune.search.forecast.small_trials import both_logits, compress_unchecked, few_images
from slimtune.workload.types import Workload


def check_files(
    name: str, network: nn.Module, workload: Workload, quantizers: Iterable[Quantizer]
) -> None:
    """Check, with numbers, that files of a network compute what it computes.

    The float file and one file for each quantizer are exported with a few images, run by ONNX
    Runtime and compared. Quantizers are not trained. An error of rounding is accepted: before
    training its size says nothing.

    Args:
        name: of the network, for messages.
        network: trained or not; not modified.
        workload: data.
        quantizers: to try.

    Raises:
        ModelError: a file cannot be made, or computes something else.
    """
    few = dataclasses.replace(few_images(workload), baseline=network)
    try:
        outcome = compress_unchecked(few, Recipe(train=Train(epochs=0)))
        check_parity(*both_logits(few, outcome), quantized=False)
    except NonFiniteError:  # training may settle it
        pass
    except Exception as error:  # torch and ONNX Runtime raise various types
        raise ModelError(f"'{name}' cannot be exported: {_reason(error)}") from None
    for quantizer in quantizers:
        method = QUANTIZATION.name_of(quantizer)
        try:
            recipe = Recipe(quantize=_first_look(quantizer), train=Train(epochs=0))
            both_logits(few, compress_unchecked(few, recipe))
        except (NonFiniteError, ExportMismatchError):
            continue
        except Exception as error:
            raise ModelError(
                f"quantization {method} of '{name}': {_reason(error)}; leave it out of "
                "space.quantize.method, as slimtune doctor proposes"
            ) from None


def _first_look(quantizer: Quantizer) -> Quantizer:
    untrained = {"epochs": 0} if quantizer.trains else {}
    return dataclasses.replace(quantizer.quick(), **untrained)  # type: ignore[type-var]


def _reason(error: Exception) -> str:
    if isinstance(error, SlimtuneError):
        return str(error)
    return in_one_line(error)
