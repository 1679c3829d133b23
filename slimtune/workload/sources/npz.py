"""NumPy's archive of arrays, ``.npz``."""

import zipfile
from pathlib import Path

import numpy as np

from slimtune.errors import DataError
from slimtune.workload.sources.arrays import from_arrays
from slimtune.workload.sources.fit import AS_IT_IS, Fit
from slimtune.workload.sources.protocol import SOURCES
from slimtune.workload.types import Dataset


@SOURCES.register("npz")
def load_npz(argument: str, fit: Fit = AS_IT_IS) -> Dataset:
    """Load ``FILE.npz`` with ``x_train``, ``y_train`` and, if you like, test and val arrays.

    Images are uint8 (n, height, width), with channels last or first; labels are 0..k-1. Without
    ``x_test``, ``y_test`` a fixed 20 % of train is set apart; with ``x_val``, ``y_val`` the
    search selects on them; ``classes`` may name the labels. Pickled objects are refused.

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
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"{path}: is one array, not an .npz archive; use numpy.savez")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "allow_pickle" in reason:
            reason = "it holds pickled objects, which are never run; save plain arrays"
        raise DataError(f"{path}: cannot be read as .npz: {reason}") from None
    return from_arrays(f"npz:{argument}", arrays, fit)
