"""The accuracy of a file, and whether it computes the same as the network."""

import numpy as np

from slimtune.errors import DataError, ExportMismatchError, NonFiniteError

FLOAT_TOLERANCE = 1e-3
"""Largest logit difference of a float file, as a fraction of the network's largest logit."""

QUANTIZED_AGREEMENT = 0.9
"""A quantized file with this top-1 agreement or more passes, whatever its logits."""

QUANTIZED_NOISE = 1.0
"""A quantized file passes with less relative noise than this, whatever its agreement."""


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest logit is the label, 0..1.

    Args:
        logits: float, (n, classes); of equal logits the first counts.
        labels: int, (n,).

    Raises:
        DataError: there are no images, or logits and labels differ in number.
    """
    if len(labels) == 0 or len(logits) != len(labels):
        raise DataError(
            f"accuracy needs one row of logits for each of at least 1 label, but got "
            f"{len(logits)} rows and {len(labels)} labels"
        )
    return float(np.mean(logits.argmax(axis=1) == labels))


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes of their accuracies, 0..1.

    Each class counts the same, however rare. A class without images is left out.

    Args:
        logits: float, (n, classes); of equal logits the first counts.
        labels: int, (n,).

    Raises:
        DataError: there are no images, or logits and labels differ in number.
    """
    accuracy(logits, labels)  # the same checks
    return float(np.mean([share for share, _ in class_shares(logits, labels)]))


def class_shares(logits: np.ndarray, labels: np.ndarray) -> list[tuple[float, int]]:
    """Return (share of images that are right, number of images) of every class that has some.

    Args:
        logits: float, (n, classes); of equal logits the first counts.
        labels: int, (n,).
    """
    right = logits.argmax(axis=1) == labels
    return [
        (float(right[labels == label].mean()), int((labels == label).sum()))
        for label in np.unique(labels)
    ]


def majority_share(labels: np.ndarray) -> float:
    """Return the accuracy of always naming the most frequent class, 0..1.

    Args:
        labels: int, (n,), n >= 1.
    """
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def top1_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of images on which two (n, classes) logits name the same class, 0..1.

    Raises:
        DataError: there are no images, or the two differ in number.
    """
    return accuracy(first, second.argmax(axis=1) if second.size else np.zeros(0, np.int64))


def check_parity(torch_logits: np.ndarray, file_logits: np.ndarray, quantized: bool) -> None:
    """Check that a file computes the same as the network that it was exported from.

    A float file must match number by number: ``max |file - network| <= 1e-3 max |network|``.

    A quantized file differs by its rounding, which is intended and not a fault of the export:
    ResNet-20 in int8 agrees with its float network on 99 % of images with 3 % of noise. The check
    finds wrong computations (a missing layer, other channels, another normalisation). They have
    both a top-1 agreement below 0.9 and more noise than signal,
    ``rms(file - network) / std(network) > 1``; two unrelated networks have 1.4. One of the two is
    not enough: an untrained MobileNetV2 in int8 agrees on 66 % with 0.53 of noise, both with ONNX
    Runtime's own quantizer and with ours.

    Args:
        torch_logits: float, (n, classes), n at least 1.
        file_logits: float, (n, classes), of the same images.
        quantized: whether the file holds quantized weights.

    Raises:
        NonFiniteError: the network's own logits are not finite.
        ExportMismatchError: the file breaks the rule, or its logits are not finite.
    """
    if not np.isfinite(torch_logits).all():
        raise NonFiniteError("the network's logits must be finite, but some are NaN or infinite")
    if torch_logits.shape != file_logits.shape or not np.isfinite(file_logits).all():
        raise ExportMismatchError(
            f"the file must give finite logits of shape {torch_logits.shape} like the network, "
            f"but gives shape {file_logits.shape} with "
            f"{np.count_nonzero(~np.isfinite(file_logits))} not finite"
        )
    difference = file_logits.astype(np.float64) - torch_logits
    if quantized:
        _check_quantized(torch_logits, file_logits, difference)
        return
    largest, scale = float(np.abs(difference).max()), float(np.abs(torch_logits).max())
    if largest > FLOAT_TOLERANCE * scale:
        raise ExportMismatchError(
            f"a float file must match its network within {FLOAT_TOLERANCE:g} of the largest "
            f"logit ({scale:.3g}), but they differ by {largest:.3g}"
        )


def _check_quantized(
    torch_logits: np.ndarray, file_logits: np.ndarray, difference: np.ndarray
) -> None:
    agreement = top1_agreement(torch_logits, file_logits)
    noise, signal = float(np.sqrt(np.mean(difference**2))), float(torch_logits.std())
    if agreement < QUANTIZED_AGREEMENT and noise > QUANTIZED_NOISE * signal:
        raise ExportMismatchError(
            f"a quantized file must agree with its network on {QUANTIZED_AGREEMENT:.0%} of top-1 "
            f"classes or differ by less than the logits' spread ({signal:.3g}), but agrees on "
            f"{agreement:.1%} and differs by {noise:.3g}: its rounding error drowns the signal; "
            "use more bits, or float16, or train the network for longer"
        )
