import numpy as np
import pytest

from slimtune.workload.fingerprint import fingerprint
from slimtune.workload.types import Split

FACTS = {"classes": ("a", "b"), "mean": (0.5,), "std": (0.25,)}


def split(seed, n=6):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (n, 2, 2, 1), dtype=np.uint8), rng.integers(0, 2, n))


PARTS = (split(0), split(1), split(2))


def changed_pixel(part):
    images = part.images.copy()
    images[-1, -1, -1, -1] ^= 1
    return Split(images, part.labels)


def changed_label(part):
    labels = part.labels.copy()
    labels[0] ^= 1
    return Split(part.images, labels)


def test_equal_data_in_other_memory_has_the_same_name():
    copies = [Split(np.asfortranarray(p.images), p.labels.astype(">i8")) for p in PARTS]
    name = fingerprint(*PARTS, **FACTS)
    assert fingerprint(*copies, **FACTS) == name
    assert len(name) == 64 and int(name, 16) >= 0


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("change", [changed_pixel, changed_label])
def test_one_changed_pixel_or_label_in_any_split_changes_the_name(index, change):
    parts = list(PARTS)
    parts[index] = change(parts[index])
    assert fingerprint(*parts, **FACTS) != fingerprint(*PARTS, **FACTS)


@pytest.mark.parametrize("changed", [{"classes": ("b", "a")}, {"mean": (0.4,)}, {"std": (0.2,)}])
def test_class_names_and_normalisation_count(changed):
    assert fingerprint(*PARTS, **{**FACTS, **changed}) != fingerprint(*PARTS, **FACTS)


def test_an_image_moved_to_the_next_split_changes_the_name():
    whole, part = split(0, 8), np.arange(8)
    names = {
        fingerprint(whole.take(part[:k]), whole.take(part[k:]), PARTS[2], **FACTS)
        for k in range(1, 8)
    }
    assert len(names) == 7


def test_equal_bytes_in_another_shape_are_other_data():
    wide, tall = (
        Split(np.zeros((2, *s, 1), np.uint8), np.zeros(2, int)) for s in ((2, 8), (8, 2))
    )
    assert fingerprint(wide, *PARTS[1:], **FACTS) != fingerprint(tall, *PARTS[1:], **FACTS)
