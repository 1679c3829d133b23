"""A folder of image files in torchvision's ImageFolder layout, one sub-folder a class."""

from pathlib import Path

import numpy as np

from slimtune.errors import DataError, did_you_mean
from slimtune.workload.sources.assembly import natural_images
from slimtune.workload.sources.decoding import SUFFIXES, EncodedImage, decode_images
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.types import Dataset, Split

_Listing = dict[str, list[Path]]


@SOURCES.register("folder")
def load_folder(argument: str) -> Dataset:
    """Load ``DIR/train/CLASS/*.png`` and ``DIR/test/CLASS/*.png`` (or ``DIR/val``).

    Classes are numbered in the order of their names. Files that do not end like an image
    (.png, .jpg, .jpeg, .bmp, .webp, .ppm, .pgm, .tif, .tiff) and hidden ones are passed over.
    With both ``test/`` and ``val/`` present, ``test/`` is used. All images are resized to the
    size of the first one, bilinear; they are grey only if all are.

    Args:
        argument: the folder.

    Raises:
        DataError: a folder that is missing or empty, fewer than two classes, a test class
            that train lacks, or an image that cannot be read.
    """
    folder = _existing(argument)
    name = f"folder:{argument}"
    train = _listing(_subfolder(folder, "train"))
    test = _listing(_subfolder(folder, "test", "val"))
    for strange in sorted(test.keys() - train.keys()):
        raise DataError(
            f"{folder}: the test images have class '{strange}', which train/ lacks."
            f"{did_you_mean(strange, train)} Add it to train/ or remove it"
        )
    classes = tuple(train)
    if len(classes) < 2:
        raise DataError(f"{folder}/train: needs at least 2 class folders, but has {classes}")
    files = [path for listing in (train, test) for paths in listing.values() for path in paths]
    images = decode_images([EncodedImage(path, str(path)) for path in files])
    train_labels, test_labels = _labels(train, classes), _labels(test, classes)
    border = len(train_labels)
    return natural_images(
        name, Split(images[:border], train_labels), Split(images[border:], test_labels), classes
    )


def _existing(argument: str) -> Path:
    if not argument:
        raise DataError("'folder' needs a directory after its name, such as folder:data/flowers")
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist or is not a folder; check the path")
    return folder


def _subfolder(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    wanted = " or ".join(f"{name}/" for name in names)
    raise DataError(f"folder {folder} has no {wanted} sub-folder; it must hold one folder a class")


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
