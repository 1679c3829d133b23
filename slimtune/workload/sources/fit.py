"""The options of a data reference: size, channels and normalisation of images, mirroring."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from slimtune.errors import DataError, did_you_mean, shortened
from slimtune.workload.normalisation import Numbers, read_numbers
from slimtune.workload.sources.room import check_room

# Only numbers may have slashes: `folder:a@b=1/c` is a path.
_OPTION = r"(?:(?:mean|std)=[^@,]*|[A-Za-z_]+=[^@/,]*)"
_OPTIONS = re.compile(rf"@({_OPTION}(?:,[^@/,=]*|,{_OPTION})*)$")
_SIZE = re.compile(r"([0-9]{1,5})(?:[x×]([0-9]{1,5}))?")
MOST_PIXELS = 4096
"""Most pixels a side. A larger number is a typing error, or needs more memory than there is."""
_CHANNELS = {"1": 1, "3": 3}
_FLIP = {"0": False, "1": True}

Value = TypeVar("Value")


@dataclass(frozen=True)
class Fit:
    """The form that images are brought to.

    Attributes:
        size: (height, width) in pixels, by bilinear resizing that does not keep the aspect
            ratio; None leaves arrays as they are, and brings files to the size of the first one.
        channels: 1 makes them grey (by luminance), 3 RGB; None leaves them as they are.
        flip: whether training mirrors; None leaves it to the source. Applied by `load_dataset`.
        mean: that pixels are normalised by; None leaves it to the network or the source. Applied
            by `load_dataset`.
        std: likewise.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    flip: bool | None = None
    mean: Numbers | None = None
    std: Numbers | None = None

    def applied(self, images: np.ndarray) -> np.ndarray:
        """Return images, uint8 (n, height, width, channels), as they shall be."""
        height, width, channels = images.shape[1:]
        size, wanted = self.size or (height, width), self.channels or channels
        if size == (height, width) and wanted == channels:
            return images
        if channels not in (1, 3):
            raise DataError(
                f"only grey and RGB images can be resized or converted, but these have {channels} "
                "channels; leave size and channels out"
            )
        what = f"{len(images)} images of {size[0]}x{size[1]} pixels"
        check_room(what, len(images) * size[0] * size[1] * wanted, "ask for a smaller size")
        fitted = np.empty((len(images), *size, wanted), np.uint8)
        for image, out in zip(images, fitted, strict=True):
            opened = Image.fromarray(image[..., 0] if channels == 1 else image)
            out[...] = self.of_image(opened, size, wanted)
        return fitted

    @staticmethod
    def of_image(image: Image.Image, size: tuple[int, int], channels: int) -> np.ndarray:
        """Return one opened image as uint8, (height, width, channels)."""
        converted = image.convert("L" if channels == 1 else "RGB")
        if converted.size != size[::-1]:
            converted = converted.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(converted).reshape(*size, channels)


AS_IT_IS = Fit()


def split_options(reference: str) -> tuple[str, str]:
    """Return a reference without its options, and the options with their ``@``, or ``""``."""
    match = _OPTIONS.search(reference)
    return (reference, "") if match is None else (reference[: match.start()], match[0])


def with_options(reference: str, options: str) -> str:
    """Return a reference with more options, which take the place of its own of the same name.

    Args:
        reference: with or without options.
        options: such as ``"mean=half,std=half"``.
    """
    plain, typed = split_options(reference)
    keys = {part.partition("=")[0] for part in options.split(",")}
    kept = [p for p in typed.removeprefix("@").split(",") if p and p.partition("=")[0] not in keys]
    return f"{plain}@{','.join([*kept, options])}"


def parse_fit(options: str) -> Fit:
    """Return the fit that options such as ``"@size=48x40,channels=1,flip=0"`` ask for.

    Raises:
        DataError: an unknown option, or a value that it cannot have.
    """
    values: dict[str, Any] = {}
    for part in filter(None, options.removeprefix("@").split(",")):
        key, _, value = part.partition("=")
        if key not in _READERS:
            hint = "numbers of channels are separated by /. " if key[:1].isdigit() else ""
            raise DataError(
                f"unknown data option '{key}'.{did_you_mean(key, _READERS)} {hint}"
                "Write REF@size=HEIGHTxWIDTH,channels=1,flip=0,mean=0.5,std=0.5"
            )
        if key in values:
            raise DataError(f"data option '{key}' is given twice; give it once")
        values[key] = _READERS[key](value)
    return Fit(**values)


def _size(value: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(value)
    size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(size) <= max(size) <= MOST_PIXELS:
        raise DataError(
            f"size must be HEIGHTxWIDTH in pixels, 1 to {MOST_PIXELS} each, such as 48x40 or 64, "
            f"but got {shortened(value)}"
        )
    return size


def _one_of(known: Mapping[str, Value], rule: str, value: str) -> Value:
    if value not in known:
        raise DataError(f"{rule}, but got {shortened(value)}")
    return known[value]


_READERS: Mapping[str, Callable[[str], Any]] = {
    "size": _size,
    "channels": partial(_one_of, _CHANNELS, "channels must be 1 (grey) or 3 (RGB)"),
    "flip": partial(_one_of, _FLIP, "flip must be 1 (mirror in training) or 0 (do not)"),
    "mean": partial(read_numbers, "mean"),
    "std": partial(read_numbers, "std"),
}
"""Option -> the reader of its value. An option is a field of `Fit` of the same name."""
