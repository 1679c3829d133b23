"""Check that a file's logits of an image do not depend on the rest of its batch."""

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
    """Check that an image's logits do not depend on its batch.

    Accuracy is measured in batches, but users may run one image at a time.

    Args:
        file: path of an ONNX file, or its content.
        images: uint8 (n, height, width, channels), n at least 1; up to 8 of them are run.
        mean: as for `predict`.
        std: as for `predict`.
        quantized: as for `check_parity`. Ranges that are found at run time depend on the batch.

    Raises:
        ExportMismatchError: the logits depend on the batch.
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
