"""NumPy's archive of arrays, ``.npz``."""

import zipfile
from pathlib import Path

import numpy as np

from slimtune.errors import DataError
from slimtune.workload.sources.arrays import from_arrays
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.sources.room import check_room
from slimtune.workload.types import Dataset

_ARRAY, _ZIP = b"\x93NUMPY", b"PK"
"""How an ``.npy`` file begins, and how an archive does, whole or cut off."""


@SOURCES.register("npz")
def load_npz(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``FILE.npz`` with ``x_train``, ``y_train`` and, if you like, test and val arrays.

    Images are uint8 (n, height, width), with channels last or first; labels are 0..k-1. Without
    ``x_test``, ``y_test`` a fixed 20 % of train is set apart; with ``x_val``, ``y_val`` the
    search selects on them; a part may have any name of `PART_WORDS`; ``classes`` may name the
    labels. Pickled objects are refused.

    Args:
        argument: the file.
        fit: what the images shall be brought to.

    Raises:
        DataError: a missing or damaged file, or arrays that are no images with labels.
    """
    if not argument:
        raise DataError("'npz' needs a file after its name, such as npz:data/flowers.npz")
    path = Path(argument).expanduser()
    if not path.is_file():
        raise DataError(f"file {path} does not exist; check the path")
    return from_arrays(f"npz:{argument}", _read(path), fit)


def _check_room(path: Path) -> None:
    """Refuse an archive that unpacks to more than memory holds."""
    with zipfile.ZipFile(path) as archive:
        size = sum(each.file_size for each in archive.infolist())
    check_room(f"{path}: its arrays", size, "save fewer or smaller images")


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            start = file.read(len(_ARRAY))
            whole = zipfile.is_zipfile(file)
        if start.startswith(_ZIP) or whole:
            _check_room(path)
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except Exception as error:  # what damage raises is up to each compression and to NumPy
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "allow_pickle" in reason:
            reason = "it holds pickled objects, which are never run; save plain arrays"
        raise DataError(f"{path}: cannot be read as .npz: {reason}") from None
    # Told here, since NumPy takes for pickled what it does not know.
    what = "one array, not an .npz archive" if start == _ARRAY else "no .npz archive"
    raise DataError(f"{path}: is {what}; use numpy.savez")
