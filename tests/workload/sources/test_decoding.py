import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slimtune.errors import DataError
from slimtune.workload.sources.decoding import EncodedImage, decode_images


def picture(mode="RGB", size=(6, 4), seed=0):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8))


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return EncodedImage(file.getvalue(), "row 7")


@pytest.mark.parametrize("count", [1, 3, 600])
def test_lossless_images_come_back_bit_for_bit_and_in_order(count):
    pictures = [picture(seed=seed) for seed in range(count)]
    decoded = decode_images([encoded(image) for image in pictures])
    assert decoded.dtype == np.uint8 and decoded.shape == (count, 4, 6, 3)
    assert np.array_equal(decoded, np.stack([np.asarray(image) for image in pictures]))


def test_jpeg_images_are_those_of_pillow():
    item = encoded(picture(size=(16, 16)), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(item.content)))
    assert np.array_equal(decode_images([item])[0], expected)


def test_files_are_read_as_bytes_are(tmp_path):
    picture().save(tmp_path / "a.png")
    decoded = decode_images([EncodedImage(tmp_path / "a.png", "a.png")])
    assert np.array_equal(decoded[0], np.asarray(picture()))


def test_images_stay_grey_only_if_all_are():
    grey, colour = picture("L"), picture("RGB")
    assert decode_images([encoded(grey), encoded(grey)]).shape == (2, 4, 6, 1)
    for order in ([grey, colour], [colour, grey]):
        assert decode_images([encoded(image) for image in order]).shape == (2, 4, 6, 3)
    mixed = decode_images([encoded(colour), encoded(grey)])[1]
    assert all(np.array_equal(mixed[..., c], np.asarray(grey)) for c in range(3))


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 3), ("LA", 1)])
def test_transparency_is_dropped(mode, channels):
    image = picture(mode)
    decoded = decode_images([encoded(image)])[0]
    assert np.array_equal(decoded, np.asarray(image)[..., :channels])


def test_an_image_of_another_size_is_resized_to_the_first():
    first, second = picture(size=(6, 4)), picture(size=(12, 9), seed=1)
    decoded = decode_images([encoded(first), encoded(second)])
    resized = second.resize((6, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(decoded[1], np.asarray(resized))


def test_an_image_of_16_bits_is_refused():
    deep = Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16))
    with pytest.raises(DataError, match="row 7: images must have 8 bits a channel"):
        decode_images([encoded(deep)])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("kept", [0, 1, 20, 60, 0.5, 0.9])
def test_a_truncated_image_is_refused_with_its_origin(kind, kept):
    content = encoded(picture(size=(32, 32)), kind).content
    cut = content[: kept if isinstance(kept, int) else int(kept * len(content))]
    with pytest.raises(DataError, match="row 7: cannot be read as an image") as caught:
        decode_images([EncodedImage(cut, "row 7")])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=100)
@given(st.sampled_from(["PNG", "JPEG", "BMP"]), st.integers(0, 200), st.binary(min_size=1))
def test_damaged_bytes_are_refused_or_decoded_and_raise_nothing_else(kind, start, damage):
    content = bytearray(encoded(picture(size=(8, 8)), kind).content)
    content[start : start + len(damage)] = damage
    try:
        assert decode_images([EncodedImage(bytes(content), "row 7")]).dtype == np.uint8
    except DataError as error:
        assert str(error).startswith("row 7: ")
