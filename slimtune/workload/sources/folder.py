"""A folder of image files in torchvision's ImageFolder layout, one sub-folder a class."""

from pathlib import Path

import numpy as np

from slimtune.errors import DataError, did_you_mean
from slimtune.workload.sources.assembly import natural_images, set_apart
from slimtune.workload.sources.decoding import SUFFIXES, EncodedImage, decode_images
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.types import Dataset, Split

_Listing = dict[str, list[Path]]


@SOURCES.register("folder")
def load_folder(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``DIR/train/CLASS/*.png`` and ``DIR/test/CLASS/*.png``, ``DIR/val`` as well or instead.

    Classes are numbered in the order of their names. Files that do not end like an image
    (.png, .jpg, .jpeg, .bmp, .webp, .ppm, .pgm, .tif, .tiff) and hidden ones are passed over.
    With both ``test/`` and ``val/`` present, the search selects on ``val/``; one of them alone is
    the test split; with neither, a fixed, stratified 20 % of ``train/`` is. All images are
    resized to the size of the first one, bilinear; they are grey only if all are. ``fit``
    overrides either.

    Args:
        argument: the folder.
        fit: what the images shall be brought to.

    Raises:
        DataError: a folder that is missing or empty, fewer than two classes, a test class
            that train lacks, or an image that cannot be read.
    """
    folder = _existing(argument)
    names = [name for name in ("test", "val") if (folder / name).is_dir()]
    listings = [_listing(_subfolder(folder, name)) for name in ("train", *names)]
    classes = tuple(listings[0])
    if len(classes) < 2:
        raise DataError(f"{folder}/train: needs at least 2 class folders, but has {classes}")
    for name, listing in zip(names, listings[1:], strict=True):
        _check_known(folder, name, listing, classes)
    files = [path for listing in listings for paths in listing.values() for path in paths]
    images = decode_images([EncodedImage(path, str(path)) for path in files], fit)
    splits, start = [], 0
    for listing in listings:
        labels = _labels(listing, classes)
        splits.append(Split(images[start : start + len(labels)], labels))
        start += len(labels)
    if len(splits) == 1:
        splits = list(set_apart(splits[0], argument))
    validation = splits[2] if len(splits) == 3 else None
    return natural_images(f"folder:{argument}", splits[0], splits[1], classes, validation)


def _check_known(folder: Path, name: str, listing: _Listing, classes: tuple[str, ...]) -> None:
    for strange in sorted(listing.keys() - set(classes)):
        raise DataError(
            f"{folder}: the images of {name}/ have class '{strange}', which train/ lacks."
            f"{did_you_mean(strange, classes)} Add it to train/ or remove it"
        )


def _existing(argument: str) -> Path:
    if not argument:
        raise DataError("'folder' needs a directory after its name, such as folder:data/flowers")
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist or is not a folder; check the path")
    return folder


def _subfolder(folder: Path, name: str) -> Path:
    if (folder / name).is_dir():
        return folder / name
    found = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    there = f" (found: {', '.join(found[:5])})" if found else ""
    raise DataError(
        f"folder {folder} has no {name}/ sub-folder{there}; {name}/ must hold one folder a class"
    )


def _listing(split: Path) -> _Listing:
    listing: _Listing = {}
    try:
        folders = sorted(p for p in split.iterdir() if p.is_dir() and p.name[0] != ".")
        for folder in folders:
            listing[folder.name] = sorted(p for p in folder.iterdir() if _is_image(p))
    except OSError as error:
        raise DataError(f"{split}: cannot be listed ({error.strerror}); check it") from error
    for name, files in listing.items():
        if not files:
            raise DataError(
                f"{split}: class '{name}' has no images; add some or remove the folder"
            )
    return listing


def _is_image(path: Path) -> bool:
    return path.name[0] != "." and path.suffix.lower() in SUFFIXES


def _labels(listing: _Listing, classes: tuple[str, ...]) -> np.ndarray:
    counts = [len(listing.get(name, [])) for name in classes]
    return np.repeat(np.arange(len(classes), dtype=np.int64), counts)
