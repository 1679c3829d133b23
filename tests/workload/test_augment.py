import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as tv

from slimtune.workload.augment import augment, normalise
from slimtune.workload.types import Augmentation


def pixels(n, height, width, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, height, width, channels)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def crops(image, padding, flip):
    """Every image that a crop and a flip may give, by slicing a padded array."""
    height, width = image.shape[:2]
    bordered = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    sides = (bordered[:, ::-1], bordered) if flip else (bordered,)
    for side in sides:
        for y in range(2 * padding + 1):
            for x in range(2 * padding + 1):
                yield side[y : y + height, x : x + width]


sizes = st.integers(1, 7)


def test_without_padding_and_flip_nothing_changes():
    images = pixels(5, 8, 8, 3)
    assert torch.equal(augment(images, Augmentation(0, False), seeded(0)), images)


@settings(max_examples=40)
@given(sizes, sizes, st.sampled_from([1, 3]), st.integers(0, 3), st.booleans(), st.integers(0, 99))
def test_every_output_is_a_crop_out_of_a_black_border(height, width, channels, pad, flip, seed):
    images = pixels(4, height, width, channels, seed)
    out = augment(images, Augmentation(pad, flip), seeded(seed))
    assert out.dtype == torch.uint8 and out.shape == images.shape
    for image, changed in zip(images.numpy(), out.numpy(), strict=True):
        assert any(np.array_equal(changed, crop) for crop in crops(image, pad, flip))


def test_every_crop_and_both_sides_are_drawn_equally_often():
    image = pixels(1, 4, 4, 1)
    out = augment(image.expand(9000, 4, 4, 1), Augmentation(1, True), seeded(0)).numpy()
    counts = [(out == crop).all((1, 2, 3)).sum() for crop in crops(image[0].numpy(), 1, True)]
    assert sum(counts) == 9000
    assert min(counts) > 400 and max(counts) < 600  # 18 kinds, 500 each, deviation 22


def test_images_of_a_batch_are_changed_independently():
    out = augment(pixels(1, 8, 8, 1).expand(64, 8, 8, 1), Augmentation(2, False), seeded(0))
    assert len(torch.unique(out, dim=0)) > 15


def test_equal_generators_give_equal_images_and_the_next_batch_differs():
    images, generator = pixels(16, 8, 8, 3), seeded(3)
    first = augment(images, Augmentation(2, True), generator)
    assert not torch.equal(augment(images, Augmentation(2, True), generator), first)
    assert torch.equal(augment(images, Augmentation(2, True), seeded(3)), first)


def test_the_images_given_are_not_modified():
    images = pixels(16, 8, 8, 3)
    before = images.clone()
    augment(images, Augmentation(2, True), seeded(0))
    assert torch.equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalised_pixels_are_those_of_torchvision_bit_for_bit(channels):
    images = pixels(6, 9, 5, channels)
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    expected = [tv.normalize(tv.to_tensor(i.numpy()), list(mean), list(std)) for i in images]
    assert torch.equal(normalise(images, mean, std), torch.stack(expected))


def test_normalised_images_lie_as_every_network_expects_them():
    out = normalise(pixels(4, 8, 6, 3), (0.5,) * 3, (0.5,) * 3)
    assert out.dtype == torch.float32 and out.shape == (4, 3, 8, 6) and out.is_contiguous()


def test_the_border_is_black_before_normalisation():
    white = torch.full((64, 4, 4, 3), 255, dtype=torch.uint8)
    moved = augment(white, Augmentation(4, False), seeded(0))
    out = normalise(moved, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    black = torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    torch.testing.assert_close(out.amin((0, 2, 3)), black)
