"""Mean and standard deviation that normalise pixels, by name or in numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from slimtune.errors import DataError, did_you_mean, shortened

NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "half": ((0.5,), (0.5,)),
    "none": ((0.0,), (1.0,)),
}
"""Name -> mean and standard deviation per channel, of pixels scaled to 0..1; one number is for
any number of channels. ``cifar10`` has the deviations that most published checkpoints were trained
with, averages over single images; those over all pixels are `CIFAR10_PIXELS`."""

CIFAR10_PIXELS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
MNIST = ((0.1307,), (0.3081,))
RAW = ((0.0,), (1 / 255,))
"""Pixels as they are, 0..255."""

Numbers = str | tuple[float, ...]
"""A name of `NORMALISATIONS`, or one number for all channels, or one a channel."""

Origin = Literal["option", "data", "network", "default"]
ORIGINS: Mapping[str, str] = {
    "option": "as given",
    "data": "set by the data's own code",
    "network": "the network's own",
    "default": "the default",
}
"""Where the normalisation comes from -> the same in words."""


def read_numbers(key: str, value: Any) -> Numbers:
    """Return what a ``mean`` or ``std`` means: a name as it is, numbers as a tuple.

    Args:
        key: ``"mean"`` or ``"std"``.
        value: a name; numbers separated by ``/``; a number; or a list of them.

    Raises:
        DataError: an unknown name; something that is no number; a mean outside 0..1, or a
            deviation that is not above 0 and at most 1: both are of pixels scaled to 0..1.
    """
    if isinstance(value, str) and value in NORMALISATIONS:
        return value
    parts = value.split("/") if isinstance(value, str) else value
    try:
        parts = parts if isinstance(parts, list | tuple) else [parts]
        numbers = tuple(float(part) for part in parts if not isinstance(part, bool))
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or len(numbers) != len(parts):
        known = ", ".join(NORMALISATIONS)
        raise DataError(
            f"{key} must be a name ({known}) or numbers separated by /, such as 0.5 or "
            f"0.485/0.456/0.406, but got {shortened(value)}."
            f"{did_you_mean(str(value), NORMALISATIONS)}"
        )
    lowest_is_out = key == "std"
    for number in numbers:
        low = number > 0 if lowest_is_out else number >= 0
        if not (math.isfinite(number) and low and number <= 1):
            rule = "above 0 and at most 1" if lowest_is_out else "0 to 1"
            raise DataError(
                f"{key} must be {rule}, of pixels scaled to 0..1 (divide those of 0..255 by 255), "
                f"but got {number:g}"
            )
    return numbers


def resolved(
    mean: Numbers | None, std: Numbers | None, channels: int, reference: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation with one number a channel.

    Args:
        mean: from `read_numbers`; a name alone, without ``std``, stands for both.
        std: likewise.
        channels: of the images.
        reference: of the data, for messages.

    Raises:
        DataError: one of them is missing, or has another number of channels.
    """
    for given, other, missing in ((mean, std, "std"), (std, mean, "mean")):
        if other is None and not isinstance(given, str):
            key = "mean" if missing == "std" else "std"
            raise DataError(f"{reference}: {key} is given but {missing} is not; give both")
    mean, std = (std if mean is None else mean), (mean if std is None else std)
    return _each(mean, 0, channels, reference), _each(std, 1, channels, reference)


def _each(
    numbers: Numbers | None, which: Literal[0, 1], channels: int, reference: str
) -> tuple[float, ...]:
    named = isinstance(numbers, str)
    values = NORMALISATIONS[numbers][which] if isinstance(numbers, str) else numbers or ()
    if len(values) == 1:
        return values * channels
    if len(values) != channels:
        key = "std" if which else "mean"
        what = f"{key} {numbers}" if named else key
        raise DataError(
            f"{reference}: {what} has {len(values)} numbers, but the images have {channels} "
            f"channel{'s' * (channels > 1)}; give one number, or one a channel"
        )
    return values


def name_of(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return the name of a normalisation, or an empty string if it has none."""
    for name, known in NORMALISATIONS.items():
        if all(_alike(given, each) for given, each in zip((mean, std), known, strict=True)):
            return name
    return ""


def _alike(given: Sequence[float], known: Sequence[float]) -> bool:
    if len(known) == 1:
        known = tuple(known) * len(given)
    return len(given) == len(known) and all(map(math.isclose, given, known))


def option_of(mean: Sequence[float], std: Sequence[float]) -> str:
    """Return the option to type for a normalisation, such as ``"mean=half,std=half"``."""
    if name := name_of(mean, std):
        return f"mean={name},std={name}"
    return f"mean={as_text(mean)},std={as_text(std)}"


def as_text(numbers: Sequence[float]) -> str:
    """Return numbers as they are typed, such as ``"0.485/0.456/0.406"``; equal ones once."""
    return "/".join(repr(float(number)).removesuffix(".0") for number in _once(numbers))


def _once(numbers: Sequence[float]) -> Sequence[float]:
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def in_words(mean: Sequence[float], std: Sequence[float], origin: str) -> str:
    """Return a normalisation in words, such as ``"imagenet: mean 0.485/..., the default"``."""
    name = name_of(mean, std)
    shown = ("/".join(f"{number:.4g}" for number in _once(part)) for part in (mean, std))
    numbers = "mean {}, std {}".format(*shown)
    return f"{name + ': ' if name else ''}{numbers} ({ORIGINS.get(origin, origin)})"
