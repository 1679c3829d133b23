import io
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.compression.export.onnx_file import Signature, export_file
from slimtune.errors import DataError, ModelError
from slimtune.measurement.runtime import observe_ranges, open_session, predict, takes_pixels

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3), np.uint8)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)).eval()


def torch_logits(model: nn.Module) -> np.ndarray:
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (MEAN, STD))
    with torch.no_grad():
        return model((pixels - mean) / std).numpy()


def foreign_file(model: nn.Module, batch: int | None) -> bytes:
    """A file as others make them: normalised float input, exported by torch alone."""
    buffer = io.BytesIO()
    axes = None if batch else {"x": {0: "n"}}
    example = torch.zeros(batch or 2, 3, 6, 5)
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(
            model, (example,), buffer, dynamo=False, input_names=["x"], dynamic_axes=axes
        )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def our_file() -> bytes:
    return export_file(
        network(),
        Signature((3, 6, 5), MEAN, STD, list("abcde")),
        calibration=IMAGES,
        observe=observe_ranges,
    ).onnx


@pytest.mark.parametrize("batch", [1, 3, 250])
def test_our_file_takes_pixels_as_they_are(our_file: bytes, batch: int) -> None:
    logits = predict(our_file, IMAGES, mean=(9, 9, 9), std=(9, 9, 9), batch=batch)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, torch_logits(network()), atol=1e-5)


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_a_float_file_of_others_gets_normalised_pixels(batch: int | None) -> None:
    logits = predict(foreign_file(network(), batch), IMAGES, mean=MEAN, std=STD)
    np.testing.assert_allclose(logits, torch_logits(network()), atol=1e-5)


def test_only_our_files_take_pixels_as_they_are(our_file: bytes) -> None:
    assert takes_pixels(our_file) and not takes_pixels(foreign_file(network(), None))


def test_a_path_reads_like_its_content(our_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(our_file)
    from_path = predict(path, IMAGES, mean=MEAN, std=STD)
    assert np.array_equal(from_path, predict(our_file, IMAGES, mean=MEAN, std=STD))


def test_the_session_has_the_threads_asked_for(our_file: bytes) -> None:
    options = open_session(our_file, threads=2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx: .* no such file"):
        open_session(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_file_is_refused_in_one_line(
    our_file: bytes, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "model.onnx"
    contents = {"truncated": our_file[:-200], "text": b"not a model", "empty": b""}
    path.write_bytes(contents[damage])
    with pytest.raises(ModelError, match=r"model\.onnx: must be a model") as caught:
        open_session(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 6, 5, 1), (2, 8, 5, 3), (2, 5, 6, 3)])
def test_images_of_another_size_are_refused_with_both_sizes(
    our_file: bytes, shape: tuple[int, ...]
) -> None:
    images = np.zeros(shape, np.uint8)
    with pytest.raises(DataError) as caught:
        predict(our_file, images, mean=MEAN, std=STD)
    assert "(3, 6, 5)" in str(caught.value)
    assert str((shape[3], shape[1], shape[2])) in str(caught.value)


def test_a_file_that_is_no_classifier_is_refused() -> None:
    with pytest.raises(ModelError, match="logits"):
        predict(foreign_file(nn.Conv2d(3, 2, 3), None), IMAGES, mean=MEAN, std=STD)


def test_no_images_are_refused(our_file: bytes) -> None:
    with pytest.raises(DataError, match="at least 1"):
        predict(our_file, IMAGES[:0], mean=MEAN, std=STD)
    with pytest.raises(DataError, match="at least 1"):
        observe_ranges(our_file, IMAGES[:0], ["logits"])


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_observed_ranges_are_those_of_all_images(our_file: bytes, batch: int) -> None:
    low, high = observe_ranges(our_file, IMAGES, ["logits"], batch=batch)["logits"]
    logits = torch_logits(network())
    assert (low, high) == (
        pytest.approx(logits.min(), rel=1e-4),
        pytest.approx(logits.max(), rel=1e-4),
    )
