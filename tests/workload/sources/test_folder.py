import os
import warnings

import numpy as np
import pytest
from PIL import Image

from slimtune.errors import DataError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources import room


def write(folder, name="0.png", level=0, colour=True, size=(8, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if colour else (size[1], size[0])
    Image.fromarray(np.full(shape, level, dtype=np.uint8)).save(folder / name)


@pytest.fixture
def pets(tmp_path):
    """Two cats and one dog to learn from, one of each to test; the grey level is the image."""
    write(tmp_path / "train" / "cat", "0.png", 10)
    write(tmp_path / "train" / "cat", "1.png", 11)
    write(tmp_path / "train" / "dog", "0.png", 20)
    write(tmp_path / "test" / "cat", "0.png", 30)
    write(tmp_path / "test" / "dog", "0.png", 40)
    return tmp_path


def refusal(folder):
    with pytest.raises(DataError) as caught:
        load_dataset(f"folder:{folder}")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def test_images_and_labels_follow_the_folders(pets):
    dataset = load_dataset(f"folder:{pets}")
    assert dataset.name == f"folder:{pets}" and dataset.classes == ("cat", "dog")
    assert dataset.train.images[:, 0, 0, 0].tolist() == [10, 11, 20]
    assert dataset.train.labels.tolist() == [0, 0, 1]
    assert dataset.test.images[:, 0, 0, 0].tolist() == [30, 40]
    assert dataset.test.labels.tolist() == [0, 1]
    assert dataset.image_shape == (3, 8, 8)
    assert dataset.train.labels.dtype == np.int64


def test_val_serves_where_there_is_no_test(pets):
    (pets / "test").rename(pets / "val")
    assert load_dataset(f"folder:{pets}").test.labels.tolist() == [0, 1]


def test_where_both_are_val_is_what_a_search_selects_on(pets):
    write(pets / "val" / "cat", level=99)
    dataset = load_dataset(f"folder:{pets}")
    assert 99 not in dataset.test.images
    assert dataset.validation is not None and (dataset.validation.images == 99).all()


def test_hidden_and_other_files_are_passed_over(pets):
    (pets / "train" / ".cache").mkdir()
    (pets / "train" / "README.md").write_text("pets")
    (pets / "train" / "cat" / ".DS_Store").write_text("")
    (pets / "train" / "cat" / "labels.csv").write_text("")
    assert len(load_dataset(f"folder:{pets}").train) == 3


def test_grey_images_keep_one_channel_only_if_all_are_grey(tmp_path):
    for split in ("train", "test"):
        for label in ("a", "b"):
            write(tmp_path / split / label, level=7, colour=False)
    assert load_dataset(f"folder:{tmp_path}").image_shape == (1, 8, 8)
    write(tmp_path / "test" / "b", "colour.png", 9)
    assert load_dataset(f"folder:{tmp_path}").image_shape == (3, 8, 8)


def test_images_are_resized_to_the_first_one(pets):
    write(pets / "test" / "dog", "large.png", 50, size=(31, 17))
    dataset = load_dataset(f"folder:{pets}")
    assert dataset.test.images.shape == (3, 8, 8, 3)
    assert np.all(dataset.test.images[2] == 50)


def test_a_missing_training_split_is_refused(pets):
    (pets / "train").rename(pets / "elsewhere")
    assert "has no train/ sub-folder" in refusal(pets)


def test_without_test_images_a_fixed_part_of_train_is_set_apart(pets):
    (pets / "test").rename(pets / "elsewhere")
    write(pets / "train" / "dog", "1.png", 21)
    first, second = (load_dataset(f"folder:{pets}") for _ in range(2))
    assert first.test.labels.tolist() == [0, 1] and len(first.train) == 2
    assert np.array_equal(first.test.images, second.test.images)


def test_images_are_brought_to_the_size_and_channels_that_are_asked_for(pets):
    dataset = load_dataset(f"folder:{pets}@size=6x5,channels=1")
    assert dataset.image_shape == (1, 6, 5)
    assert dataset.train.images[:, 0, 0, 0].tolist() == [10, 11, 20]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_without_images_is_refused(pets, split):
    (pets / split / "cow").mkdir()
    assert f"{split}: class 'cow' has no images" in refusal(pets)


def test_one_class_only_is_refused(pets):
    for split in ("train", "test"):
        (pets / split / "dog" / "0.png").unlink()
        (pets / split / "dog").rmdir()
    assert "needs at least 2 class folders" in refusal(pets)


def test_a_split_without_class_folders_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    assert "needs at least 2 class folders" in refusal(tmp_path)


def test_an_empty_test_split_is_refused(pets):
    for label in ("cat", "dog"):
        (pets / "test" / label / "0.png").unlink()
        (pets / "test" / label).rmdir()
    assert "test has no images" in refusal(pets)


def test_a_test_class_that_train_lacks_is_refused_with_the_nearest(pets):
    write(pets / "test" / "dogs")
    assert "class 'dogs', which train/ lacks. Did you mean 'dog'?" in refusal(pets)


def test_an_unreadable_image_is_named(pets):
    broken = pets / "test" / "cat" / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    assert f"{broken}: cannot be read as an image" in refusal(pets)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "pets").write_text("")
    assert "is not a folder" in refusal(tmp_path / "pets")


@pytest.mark.parametrize("word", ["valid", "validation", "dev", "Val", "VALIDATION"])
def test_a_validation_part_has_several_words_in_any_case(pets, word):
    write(pets / word / "cat", level=99)
    assert load_dataset(f"folder:{pets}").validation.images[0, 0, 0, 0] == 99
    (pets / "test" / "cat" / "0.png").unlink()
    (pets / "test" / "dog" / "0.png").unlink()
    for folder in (pets / "test" / "cat", pets / "test" / "dog", pets / "test"):
        folder.rmdir()
    dataset = load_dataset(f"folder:{pets}")
    assert dataset.validation is None and dataset.test.images[0, 0, 0, 0] == 99
    assert dataset.notes == (f"'{word}' is the test part, because there is no other",)


def test_training_and_testing_are_parts_too(pets):
    (pets / "train").rename(pets / "Training")
    (pets / "test").rename(pets / "Testing")
    dataset = load_dataset(f"folder:{pets}")
    assert dataset.train.labels.tolist() == [0, 0, 1] and dataset.notes == ()


@pytest.mark.parametrize(("one", "other"), [("valid", "validation"), ("train", "Train")])
def test_two_folders_for_one_part_are_refused(pets, one, other):
    write(pets / one / "cat", "9.png")
    write(pets / other / "cat", "9.png")
    assert "both name the" in refusal(pets)


def test_what_is_left_out_is_told_with_counts(pets):
    write(pets / "extra" / "cat")
    write(pets / "train" / "cat" / "more")
    for name in ("README.txt", "train/labels.csv", "train/cat/5.heic", "test/dog/6.HEIC"):
        (pets / name).touch()
    (pets / ".hidden").touch()
    assert load_dataset(f"folder:{pets}").notes == (
        "left out 2 folders: extra/ (1 file), train/cat/more/ (1 file)",
        "left out 4 files of other kinds: .heic 2, .txt 1, .csv 1",
    )


def test_a_class_of_other_files_only_says_what_they_are(pets):
    (pets / "train" / "eel").mkdir()
    (pets / "train" / "eel" / "0.gif").touch()
    assert "class 'eel' has no images (left out 1 file of other kinds: .gif 1)" in refusal(pets)


def test_a_first_image_of_no_usual_size_is_refused_before_all_get_its_size(pets):
    write(pets / "train" / "cat", "0.png", colour=False, size=(13_000, 13_000))
    assert "has 13000x13000 pixels, more than 4096 a side; add @size" in refusal(pets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's of a decompression bomb
        assert load_dataset(f"folder:{pets}@size=8").image_shape == (3, 8, 8)


def test_images_that_memory_cannot_hold_are_refused_before_it_is_filled(pets, monkeypatch):
    monkeypatch.setattr(room, "memory_bytes", lambda: 900)
    assert "0.png: 5 images of 8x8 pixels like it would take" in refusal(pets)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/nowhere")])
def test_what_is_called_an_image_and_is_no_file_is_refused(pets, make):
    make(pets / "train" / "cat" / "9.png")
    assert "9.png: is not a regular file; replace or remove it" in refusal(pets)
