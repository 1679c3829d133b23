import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from slimtune.errors import DataError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources import room

X = np.random.default_rng(0).integers(0, 256, (20, 6, 5), dtype=np.uint8)
Y = np.arange(20) % 2


def test_arrays_come_back_as_they_were_saved(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X[:4], y_test=Y[:4])
    dataset = load_dataset(f"npz:{tmp_path}/a.npz")
    assert np.array_equal(dataset.train.images[..., 0], X) and len(dataset.test) == 4
    assert dataset.image_shape == (1, 6, 5)


def test_images_are_mirrored_in_training_unless_told_otherwise(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y)
    for options, flip in (("", True), ("@flip=0", False), ("@size=4,flip=1", True)):
        dataset = load_dataset(f"npz:{tmp_path}/a.npz{options}")
        assert dataset.augmentation.flip is flip and dataset.augmentation.padding == 1


def test_a_file_that_is_no_archive_of_plain_arrays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut off")
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    objects = np.array([{}, {}], dtype=object)
    np.savez(tmp_path / "objects.npz", x_train=objects, y_train=Y, allow_pickle=True)
    (tmp_path / "text.npz").write_text("x_train,y_train\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    messages = {
        "nothing": "does not exist",
        "cut": "cannot be read as .npz",
        "one": "is one array",
        "text": "is no .npz archive; use numpy.savez",
        "empty": "is no .npz archive",
        "objects": "pickled objects, which are never run",
    }
    for name, message in messages.items():
        with pytest.raises(DataError, match=message):
            load_dataset(f"npz:{tmp_path}/{name}.npz")
    with pytest.raises(DataError, match="needs a file after its name"):
        load_dataset("npz")


def archive(compression: int = zipfile.ZIP_STORED, opening: bytes = b"{") -> bytearray:
    """Return a sound archive of one array, whose header begins with ``opening``."""
    array, whole = io.BytesIO(), io.BytesIO()
    np.save(array, X // 64)
    with zipfile.ZipFile(whole, "w", compression) as file:
        file.writestr("x_train.npy", array.getvalue().replace(b"{", opening, 1))
    return bytearray(whole.getvalue())


def with_word(content: bytearray, offset: int, value: int) -> bytearray:
    """Return an archive with a 16-bit word of its member's header, and of its directory, set."""
    directory = content.rindex(b"PK\x01\x02")
    for start in (offset, directory + offset + 2):  # the directory has one word more before
        content[start : start + 2] = value.to_bytes(2, "little")
    return content


def flipped(content: bytearray) -> bytearray:
    content[100:110] = b"\xff" * 10
    return content


@pytest.mark.parametrize(
    "damaged",
    [
        flipped(archive(zipfile.ZIP_DEFLATED)),
        flipped(archive(zipfile.ZIP_BZIP2)),
        flipped(archive(zipfile.ZIP_LZMA)),
        with_word(archive(), 8, 77),
        with_word(archive(), 6, 1),
        archive(opening=b"{("),
    ],
    ids=["deflate", "bzip2", "lzma", "unknown compression", "encrypted", "array header"],
)
def test_a_damaged_archive_is_refused_in_one_line(tmp_path: Path, damaged: bytearray) -> None:
    (tmp_path / "a.npz").write_bytes(damaged)
    with pytest.raises(DataError, match="a.npz: cannot be read as .npz: ") as caught:
        load_dataset(f"npz:{tmp_path}/a.npz")
    assert "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "zeros.npz"
    np.savez_compressed(file, x_train=np.zeros((1000, 32, 32), np.uint8))
    assert file.stat().st_size < 5000
    monkeypatch.setattr(room, "memory_bytes", lambda: 100_000)
    with pytest.raises(DataError, match="its arrays would take"):
        load_dataset(f"npz:{file}")
