import numpy as np
import pytest
from PIL import Image

from slimtune.errors import DataError
from slimtune.workload.datasets import load_dataset
from slimtune.workload.sources.fit import AS_IT_IS, Fit, parse_fit, split_options, with_options


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_options_are_what_follows_the_last_at_sign() -> None:
    assert split_options("folder:a@b/c@size=4x5,channels=1") == (
        "folder:a@b/c", "@size=4x5,channels=1"
    )  # fmt: skip
    assert split_options("folder:a@b") == ("folder:a@b", "")
    assert split_options("folder:a@b=1/c") == ("folder:a@b=1/c", "")
    assert split_options("npz:/a/d.npz@mean=0.5/0.4/0.3,size=4,std=0.2/0.2/0.2") == (
        "npz:/a/d.npz", "@mean=0.5/0.4/0.3,size=4,std=0.2/0.2/0.2"
    )  # fmt: skip
    assert split_options("./d.py:load@flip=1,std=half") == ("./d.py:load", "@flip=1,std=half")


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ("", AS_IT_IS),
        ("@size=48x40", Fit((48, 40))),
        ("@size=4096x1", Fit((4096, 1))),
        ("@size=64,channels=3", Fit((64, 64), 3)),
        ("@channels=1", Fit(None, 1)),
        ("@flip=0", Fit(flip=False)),
        ("@size=64,flip=1", Fit((64, 64), flip=True)),
        ("@mean=half,std=half", Fit(mean="half", std="half")),
        ("@mean=0.5/0.4/0.3,flip=0,std=1", Fit(flip=False, mean=(0.5, 0.4, 0.3), std=(1.0,))),
    ],
)
def test_a_size_is_height_by_width(options: str, fit: Fit) -> None:
    assert parse_fit(options) == fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("@siz=4", "unknown data option 'siz'. Did you mean 'size'"),
        ("@size=big", "size must be HEIGHTxWIDTH"),
        ("@size=0x4", "size must be HEIGHTxWIDTH"),
        ("@size=99999x99999", "size must be .* 1 to 4096 each, .* but got '99999x99999'"),
        ("@size=1x4097", "size must be .* 1 to 4096 each"),
        ("@channels=2", "channels must be 1"),
        ("@flip=no", r"flip must be 1 \(mirror in training\) or 0 \(do not\), but got 'no'"),
        ("@flop=0", "unknown data option 'flop'. Did you mean 'flip'"),
        ("@flip=0,size=4,flip=1", "'flip' is given twice"),
        ("@mean=0.5,0.5,0.5,std=1", "unknown data option '0.5'.* separated by /"),
        ("@std=0", "std must be above 0"),
        ("@mean=imagnet", "Did you mean 'imagenet'"),
    ],
)
def test_a_wrong_option_is_refused(options: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_fit(options)


def test_resizing_and_greying_are_pillows() -> None:
    images = noise(2, 6, 4, 3)
    fitted = Fit((3, 8), 1).applied(images)
    expected = Image.fromarray(images[1]).convert("L").resize((8, 3), Image.Resampling.BILINEAR)
    assert fitted.shape == (2, 3, 8, 1) and np.array_equal(fitted[1, ..., 0], np.asarray(expected))


def test_grey_images_become_three_equal_channels() -> None:
    images = noise(2, 6, 4, 1)
    assert np.array_equal(Fit(channels=3).applied(images), images.repeat(3, axis=3))


def test_images_that_fit_are_not_copied() -> None:
    images = noise(2, 6, 4, 2)
    assert Fit((6, 4)).applied(images) is images
    with pytest.raises(DataError, match="2 channels"):
        Fit((5, 5)).applied(images)


def test_every_reference_takes_options() -> None:
    dataset = load_dataset("digits@size=12x10,channels=3")
    assert dataset.image_shape == (3, 12, 10) and dataset.name == "digits@size=12x10,channels=3"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("digits", "digits@mean=half,std=none"),
        ("npz:a@b.npz@size=4,std=0.2/0.2/0.2", "npz:a@b.npz@size=4,mean=half,std=none"),
        ("folder:x@mean=0.1,flip=0", "folder:x@flip=0,mean=half,std=none"),
    ],
)
def test_options_take_the_place_of_those_of_the_same_name(reference, expected) -> None:
    assert with_options(reference, "mean=half,std=none") == expected
