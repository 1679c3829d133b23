"""Whether a file says of an image alone what it says of it among others."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slimtune.errors import ExportMismatchError
from slimtune.measurement.accuracy import check_parity
from slimtune.measurement.runtime import predict

IMAGES = 8


def check_batch_independence(
    file: Path | bytes,
    images: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    quantized: bool,
) -> None:
    """Check that an image's logits do not depend on its batch: accuracy is measured in batches.

    Args:
        file: path of an ONNX file, or its content.
        images: uint8 (n, height, width, channels), n at least 1; up to 8 of them are run.
        mean: as of `predict`.
        std: as of `predict`.
        quantized: as of `check_parity`: ranges found at run time are those of a batch.

    Raises:
        ExportMismatchError: they do.
        ModelError: the file does not run.
    """
    few = images[:IMAGES]
    together = predict(file, few, mean=mean, std=std)
    alone = predict(file, few, mean=mean, std=std, batch=1)
    try:
        check_parity(together, alone, quantized)
    except ExportMismatchError as error:
        raise ExportMismatchError(
            "the file's logits of an image must not depend on the other images of its batch, but "
            f"one image at a time and {len(few)} at a time disagree: {error}"
        ) from None
