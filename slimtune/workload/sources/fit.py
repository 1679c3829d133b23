"""The size and the channels that all images of a dataset are brought to."""

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from slimtune.errors import DataError, did_you_mean, shortened

_OPTIONS = re.compile(r"@([A-Za-z_]+=[^@/]*)$")
_SIZE = re.compile(r"([0-9]{1,5})(?:[x×]([0-9]{1,5}))?")
_CHANNELS = {"1": 1, "3": 3}


@dataclass(frozen=True)
class Fit:
    """What images shall be.

    Attributes:
        size: (height, width) in pixels, by bilinear resizing that does not keep the aspect
            ratio; None leaves arrays as they are, and brings files to the size of the first one.
        channels: 1 makes them grey (by luminance), 3 RGB; None leaves them as they are.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None

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


def parse_fit(options: str) -> Fit:
    """Return the fit that options such as ``"@size=48x40,channels=1"`` ask for.

    Raises:
        DataError: an unknown option, or a value that it cannot have.
    """
    values: dict[str, str] = {}
    for part in filter(None, options.removeprefix("@").split(",")):
        key, _, value = part.partition("=")
        if key not in ("size", "channels"):
            raise DataError(
                f"unknown data option '{key}'.{did_you_mean(key, ('size', 'channels'))} "
                "Write REF@size=HEIGHTxWIDTH,channels=1"
            )
        values[key] = value
    size = None
    if "size" in values:
        match = _SIZE.fullmatch(values["size"])
        size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if min(size) < 1:
            raise DataError(
                f"size must be HEIGHTxWIDTH in pixels, such as 48x40 or 64, but got "
                f"{shortened(values['size'])}"
            )
    if "channels" in values and values["channels"] not in _CHANNELS:
        raise DataError(
            f"channels must be 1 (grey) or 3 (RGB), but got {shortened(values['channels'])}"
        )
    return Fit(size, _CHANNELS.get(values.get("channels", "")))
