import struct
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from slimtune.errors import DataError, UnknownNameError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources import torchvision_data


def write_idx(file: Path, array: np.ndarray) -> None:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def write_dataset(cache: Path, name: str) -> np.ndarray:
    """Write a small dataset in MNIST's layout; return its test images."""
    raw = cache / "slimtune" / name / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, n in (("train", 30), ("t10k", 20)):
        pixels = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        write_idx(raw / f"{part}-images-idx3-ubyte", pixels)
        write_idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))
    return pixels


def test_a_dataset_in_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pixels = write_dataset(tmp_path, "FashionMNIST")
    dataset = load_dataset("torchvision:FashionMNIST")
    assert np.array_equal(dataset.test.images[..., 0], pixels)
    assert len(dataset.train) == 30 and dataset.classes[1] == "Trouser"
    assert load_dataset("torchvision:FashionMNIST@size=14,channels=3").image_shape == (3, 14, 14)


@pytest.mark.parametrize(
    ("name", "flip"),
    [("FashionMNIST", True), ("FashionMNIST@flip=0", False), ("MNIST", False), ("KMNIST", False),
     ("MNIST@size=14,flip=1", True)],
)  # fmt: skip
def test_digits_and_letters_are_not_mirrored_in_training_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, flip: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_dataset(tmp_path, name.partition("@")[0])
    assert load_dataset(f"torchvision:{name}").augmentation.flip is flip


def test_digits_letters_text_and_signs_are_those_that_are_never_mirrored() -> None:
    never = {"GTSRB", "KMNIST", "MNIST", "RenderedSST2", "SVHN", "USPS"}
    assert never == torchvision_data._NEVER_MIRRORED <= set(torchvision_data._PARTS)


def test_every_name_that_is_offered_is_one_of_torchvisions_with_that_option() -> None:
    for name, (option, *_) in torchvision_data._PARTS.items():
        assert option in getattr(torchvision.datasets, name).__init__.__annotations__


@pytest.mark.parametrize("name", sorted(torchvision_data._PARTS))
def test_every_part_is_one_that_torchvision_knows(tmp_path: Path, name: str) -> None:
    option, *values = torchvision_data._PARTS[name]
    for value in values:
        with pytest.raises(Exception) as caught:
            getattr(torchvision.datasets, name)(tmp_path, **{option: value})
        assert "Unknown value" not in str(caught.value)  # it is only that no file is there


def test_those_with_a_validation_part_of_their_own_are_selected_on_it() -> None:
    own = {name for name, values in torchvision_data._PARTS.items() if len(values) == 4}
    assert own == {"Country211", "DTD", "FGVCAircraft", "Flowers102", "RenderedSST2"}


def test_what_cannot_be_had_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'FashionMNIST'"):
        load_dataset("torchvision:FashonMNIST")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no network here")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", refuse)
    with pytest.raises(DataError, match="cannot be downloaded .*no network here"):
        load_dataset("torchvision:KMNIST")
