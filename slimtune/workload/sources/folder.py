"""A folder of image files in torchvision's ImageFolder layout, one sub-folder a class."""

import dataclasses
from pathlib import Path

import numpy as np

from slimtune.errors import DataError, did_you_mean
from slimtune.workload.sources.assembly import natural_images, set_apart
from slimtune.workload.sources.decoding import SUFFIXES, EncodedImage, decode_images
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.parts import SkippedFiles, assign_roles, one_name_a_part
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.types import Dataset, Split

_Listing = dict[str, list[Path]]


@SOURCES.register("folder")
def load_folder(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``DIR/train/CLASS/*.png``, and ``DIR/test``, ``DIR/val`` in the same way.

    The parts may be called by any of `PART_WORDS`. Classes are numbered in the order of their
    names. With both a test and a validation part, the search selects on validation; one of them
    alone is the test split; with neither, a fixed, stratified 20 % of train is. Files that do not
    end like an image (`SUFFIXES`) and other folders are left out, and counted in the notes;
    hidden ones are not counted. All images are resized to the size of the first one, bilinear;
    they are grey only if all are. ``fit`` overrides either.

    Args:
        argument: the folder.
        fit: what the images shall be brought to.

    Raises:
        DataError: a folder that is missing or empty, two folders for one part, fewer than two
            classes, a test class that train lacks, or an image that cannot be read.
    """
    folder = _existing(argument)
    skipped = SkippedFiles(folder)
    names = _part_names(folder, skipped)
    listings = {part: _listing(folder / name, skipped) for part, name in names.items()}
    classes = tuple(listings["train"])
    if len(classes) < 2:
        raise DataError(
            f"{folder}/{names['train']}: needs at least 2 class folders, but has {classes}"
        )
    _check_classes(folder, names, listings)
    splits = _decoded(listings, classes, fit)
    train = splits["train"]
    test, validation, notes = assign_roles(splits, names)
    if test is None:
        train, test = set_apart(train, argument)
    made = natural_images(f"folder:{argument}", train, test, classes, validation=validation)
    return dataclasses.replace(made, notes=(*notes, *skipped.notes()))


def _decoded(
    listings: dict[str, _Listing], classes: tuple[str, ...], fit: Fit
) -> dict[str, Split]:
    files = [path for listing in listings.values() for paths in listing.values() for path in paths]
    images = decode_images([EncodedImage(path, str(path)) for path in files], fit)
    splits, start = {}, 0
    for part, listing in listings.items():
        labels = _labels(listing, classes)
        splits[part] = Split(images[start : start + len(labels)], labels)
        start += len(labels)
    return splits


def _part_names(folder: Path, skipped: SkippedFiles) -> dict[str, str]:
    """Return part -> the name of its folder, train first; all else is left out."""
    entries = _entries(folder)
    names = one_name_a_part((p.name for p in entries if p.is_dir()), str(folder))
    if "train" not in names:
        found = [p.name for p in entries if p.is_dir()]
        there = f" (found: {', '.join(found[:5])})" if found else ""
        raise DataError(
            f"folder {folder} has no train/ sub-folder{there}; train/ must hold one folder a class"
        )
    for path in entries:
        if path.name not in names.values():
            skipped.add(path)
    return {part: names[part] for part in ("train", "test", "val") if part in names}


def _check_classes(folder: Path, names: dict[str, str], listings: dict[str, _Listing]) -> None:
    """Check that no part has a class that train lacks."""
    classes = tuple(listings["train"])
    for part, listing in listings.items():
        for strange in sorted(listing.keys() - set(classes)):
            raise DataError(
                f"{folder}: the images of {names[part]}/ have class '{strange}', which "
                f"{names['train']}/ lacks.{did_you_mean(strange, classes)} Add it there or "
                "remove it"
            )


def _existing(argument: str) -> Path:
    if not argument:
        raise DataError("'folder' needs a directory after its name, such as folder:data/flowers")
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise DataError(f"folder {folder} does not exist or is not a folder; check the path")
    return folder


def _listing(split: Path, skipped: SkippedFiles) -> _Listing:
    listing: _Listing = {}
    for path in _entries(split):
        if path.is_dir():
            listing[path.name] = _images(path, skipped)
        else:
            skipped.add(path)
    return listing


def _images(folder: Path, skipped: SkippedFiles) -> list[Path]:
    images, others = [], SkippedFiles(folder)
    for path in _entries(folder):
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            images.append(path)
        else:
            skipped.add(path)
            others.add(path)
    if not images:
        there = "".join(f" ({note})" for note in others.notes())
        raise DataError(
            f"{folder.parent}: class '{folder.name}' has no images{there}; add some or remove the "
            "folder"
        )
    return images


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds, by name; hidden things are none of ours."""
    try:
        return sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check it") from error


def _labels(listing: _Listing, classes: tuple[str, ...]) -> np.ndarray:
    counts = [len(listing.get(name, [])) for name in classes]
    return np.repeat(np.arange(len(classes), dtype=np.int64), counts)
