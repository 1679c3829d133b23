"""Image files to one uint8 array, on all cores: Pillow frees the interpreter while it decodes."""

import struct
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from slimtune.errors import DataError
from slimtune.workload import load_progress
from slimtune.workload.sources.fit import AS_IT_IS, MOST_PIXELS, Fit
from slimtune.workload.sources.room import check_room

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF")
"""Pillow's names of the formats that are opened at all."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
"""What a file name must end with, in any case, to count as an image."""

Result = TypeVar("Result")

_RUN = 256
_LARGE = 2**24
"""Pixels above which images are decoded one at a time: each core's own would fill memory."""
_one_at_a_time = threading.Lock()
_GREY_MODES = {"1", "L", "LA"}
# Everything that Pillow's decoders are known to raise on damaged bytes.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class EncodedImage:
    """An image still in its file format.

    Attributes:
        content: the bytes, or the file that holds them.
        origin: what to call it in an error message.
    """

    content: bytes | Path
    origin: str


def decode_images(encoded: Sequence[EncodedImage], fit: Fit = AS_IT_IS) -> np.ndarray:
    """Decode images to one array.

    They stay grey, with one channel, only if all of them are grey; otherwise all become RGB
    and transparency is dropped. An image whose size differs from the first one's is resized
    to it, bilinear, without keeping its aspect ratio. ``fit`` overrides either.

    Args:
        encoded: one image or more.
        fit: a size or a number of channels that all shall have.

    Returns:
        uint8, (n, height, width, channels), in the order given.

    Raises:
        DataError: an image that cannot be read, by its origin, or that has 16 bits a pixel; a
            first image that is too large to bring the others to; more than memory holds.
    """
    # One task a run of images: a task each would spend more time in the pool than in Pillow.
    runs = [slice(start, start + _RUN) for start in range(0, len(encoded), _RUN)]

    def modes(run: slice) -> set[str]:
        return {_mode_and_size(image)[0] for image in encoded[run]}

    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images and odd metadata: told here or harmless
        grey = set().union(*pool.map(modes, runs)) <= _GREY_MODES
        size = fit.size or _size_of_first(encoded[0])
        channels = fit.channels or (1 if grey else 3)
        what = f"{encoded[0].origin}: {len(encoded)} images of {size[0]}x{size[1]} pixels like it"
        check_room(what, len(encoded) * size[0] * size[1] * channels, "add @size=HEIGHTxWIDTH")
        pixels = np.empty((len(encoded), *size, channels), dtype=np.uint8)

        def decode(run: slice) -> None:
            for image, out in zip(encoded[run], pixels[run], strict=True):
                out[...] = _read(image, lambda opened: fit.of_image(opened, size, channels))

        # Taking each result is what raises a worker's error here.
        for done, _ in enumerate(pool.map(decode, runs), start=1):
            load_progress.report_decoded(min(done * _RUN, len(encoded)), len(encoded))
    return pixels


def _size_of_first(encoded: EncodedImage) -> tuple[int, int]:
    """Return (height, width) that all images are brought to, unless the user says otherwise."""
    width, height = _mode_and_size(encoded)[1]
    if max(width, height) > MOST_PIXELS:
        raise DataError(
            f"{encoded.origin}: the first image gives all others their size, but has "
            f"{height}x{width} pixels, more than {MOST_PIXELS} a side; add @size=HEIGHTxWIDTH"
        )
    return height, width


def _mode_and_size(encoded: EncodedImage) -> tuple[str, tuple[int, int]]:
    mode, size = _read(encoded, lambda image: (image.mode, image.size))
    if mode.startswith(("I", "F")):
        raise DataError(
            f"{encoded.origin}: images must have 8 bits a channel, but Pillow reads mode "
            f"'{mode}'; convert them first"
        )
    return mode, size


def _read(encoded: EncodedImage, use: Callable[[Image.Image], Result]) -> Result:
    content = encoded.content
    if isinstance(content, Path) and not content.is_file():
        raise DataError(f"{encoded.origin}: is not a regular file; replace or remove it")
    try:
        with Image.open(
            BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS
        ) as image:
            large = image.width * image.height > _LARGE
            with _one_at_a_time if large else nullcontext():
                return use(image)
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{encoded.origin}: cannot be read as an image ({reason}); replace or remove it"
        ) from error
