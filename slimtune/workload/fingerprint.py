"""A digest of the data that is trained, selected and tested on, down to the last pixel."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from slimtune.workload.types import Split, Workload


def fingerprint(
    train: Split,
    validation: Split,
    test: Split,
    *,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> str:
    """Return a SHA-256 over pixels, labels, class names and normalisation.

    A run that is resumed compares it, so that trials on different data are never ranked
    together. The order of images counts: it decides what a batch holds.

    Args:
        train: first split.
        validation: second split; the same images cut elsewhere give another name.
        test: third split.
        classes: one name a label.
        mean: per channel, of pixels scaled to 0..1.
        std: per channel, of pixels scaled to 0..1.

    Returns:
        64 hexadecimal digits, the same on every machine.
    """
    digest = hashlib.sha256()
    facts = {"classes": list(classes), "mean": list(mean), "std": list(std)}
    digest.update(json.dumps(facts, sort_keys=True).encode() + b"\n")
    for split in (train, validation, test):
        for array in (split.images, split.labels):
            _update(digest, array)
    return digest.hexdigest()


def workload_fingerprint(workload: Workload) -> str:
    """Return a name for the workload's data, split by split."""
    return fingerprint(
        workload.train,
        workload.validation,
        workload.test,
        classes=workload.classes,
        mean=workload.mean,
        std=workload.std,
    )


def _update(digest: "hashlib._Hash", array: np.ndarray) -> None:
    # Little-endian whatever the machine; the header keeps neighbouring arrays apart.
    portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest.update(f"{portable.dtype.str} {portable.shape}\n".encode())
    digest.update(portable.data)
