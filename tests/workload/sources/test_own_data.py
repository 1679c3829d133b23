from pathlib import Path

import pytest

from slimtune.errors import ConfigError, DataError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.own_code import allow_all_code
from slimtune.workload.types import Dataset

CODE = """
import dataclasses
import numpy as np
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources.assembly import natural_images
from slimtune.workload.types import Split

X = np.random.default_rng(0).integers(0, 256, (20, 6, 5), dtype=np.uint8)
Y = np.arange(20) % 2

def four(): return X, Y, X[:4], Y[:4]
def named(): return {"x_train": X, "y_train": Y, "classes": ["a", "b"]}
def ready(): return dataclasses.replace(load_dataset("digits"), mean=(0.5,), std=(0.25,))
def named_half(): return dataclasses.replace(load_dataset("digits"), mean="half", std="half")
def number(): return dataclasses.replace(load_dataset("digits@channels=3"), mean=0.5, std=0.25)
def odd(): return dataclasses.replace(load_dataset("digits"), mean="imagenet", std="imagenet")
def ours():
    split = Split(X[..., None].repeat(3, axis=3), Y.astype(np.int64))
    return natural_images("x", split, split, ("a", "b"))
def flat(): return dataclasses.replace(load_dataset("digits"), std=(0.0,))
def three(): return X, Y, X
"""


def load(folder: Path, name: str, options: str = "") -> Dataset:
    file = folder / "data.py"
    file.write_text(CODE)
    return load_dataset(f"{file}:{name}{options}")


def test_a_function_may_return_four_arrays_named_ones_or_a_dataset(tmp_path: Path) -> None:
    allow_all_code()
    assert len(load(tmp_path, "four").test) == 4
    assert load(tmp_path, "named").classes == ("a", "b")
    ready = load(tmp_path, "ready")
    assert ready.mean == (0.5,) and ready.name == f"{tmp_path}/data.py:ready"
    assert load(tmp_path, "ready", "@size=9x7").image_shape == (1, 9, 7)


def test_arrays_of_a_function_are_mirrored_unless_told_otherwise_a_dataset_as_it_says(
    tmp_path: Path,
) -> None:
    allow_all_code()
    assert load(tmp_path, "four").augmentation.flip
    assert not load(tmp_path, "four", "@flip=0").augmentation.flip
    assert not load(tmp_path, "ready").augmentation.flip
    with pytest.raises(DataError, match="its own augmentation.* return Augmentation.flip=True"):
        load(tmp_path, "ready", "@flip=1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("three", "returned tuple, expected arrays by name"),
        ("flat", "std above 0"),
        ("odd", "mean imagenet has 3 numbers, but the images have 1 channel"),
        ("gone", "data.py has no 'gone'"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, name: str, message: str) -> None:
    allow_all_code()
    with pytest.raises(DataError, match=message):
        load(tmp_path, name)


def test_it_needs_consent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --allow-code"):
        load(tmp_path, "four")


def test_a_dataset_names_its_normalisation_or_gives_numbers(tmp_path: Path) -> None:
    allow_all_code()
    assert load(tmp_path, "named_half").std == (0.5,)
    dataset = load(tmp_path, "number")
    assert dataset.mean == (0.5,) * 3 and dataset.std == (0.25,) * 3
    assert dataset.normalised_by == load(tmp_path, "ready").normalised_by == "data"


def test_what_is_typed_counts_before_what_a_dataset_says(tmp_path: Path) -> None:
    allow_all_code()
    dataset = load(tmp_path, "ready", "@mean=none,std=none")
    assert (dataset.mean, dataset.std) == ((0.0,), (1.0,)) and dataset.normalised_by == "option"


def test_a_dataset_of_ours_that_is_passed_on_leaves_the_network_its_say(tmp_path: Path) -> None:
    allow_all_code()
    assert load(tmp_path, "ours").normalised_by == "default"
