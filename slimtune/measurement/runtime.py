"""The only module that uses ONNX Runtime: open a file, run it, observe its values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from slimtune.errors import DataError, ModelError, shortened

_FLOAT, _UINT8 = "tensor(float)", "tensor(uint8)"


def open_session(file: Path | bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Load a model on the CPU.

    Args:
        file: path of an ONNX file, or its content.
        threads: threads inside one operator, at least 1; operators run one after another.

    Raises:
        ModelError: the file is missing, is not ONNX, or this runtime does not support it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if isinstance(file, Path) and not file.is_file():
        raise ModelError(f"{file}: a model must be an ONNX file, but there is no such file")
    source = file if isinstance(file, bytes) else str(file)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises a dozen classes that share no base
        raise ModelError(
            f"{_name(file)}: must be a model that ONNX Runtime {onnxruntime.__version__} loads, "
            f"but: {_first_line(error)}"
        ) from error


def predict(
    file: Path | bytes,
    images: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    threads: int = 1,
    batch: int = 250,
) -> np.ndarray:
    """Return the logits of ``images``, float32 (n, classes).

    Args:
        file: path of an ONNX file, or its content.
        images: uint8 (n, height, width, channels).
        mean: per channel, of pixels scaled to 0..1. Only a file with float input needs it; a file
            with uint8 input normalises the pixels itself.
        std: as ``mean``.
        threads: threads inside one operator.
        batch: images per call, if the file does not fix it. A file that computes ranges at run
            time gets one image per call, as in use: the ranges would be those of the batch.

    Raises:
        ModelError: the file cannot be loaded or run, or is not an image classifier.
        DataError: the file takes images of another size.
    """
    session = open_session(file, threads)
    fixed = _batch_of(session, images, file)
    step = fixed or (1 if _ranges_at_run_time(file) else batch)
    logits = []
    for start in range(0, len(images), step):
        part = feed = images[start : start + step]
        if fixed:  # the last batch is filled up with the last image
            feed = np.concatenate([part, part[-1:].repeat(fixed - len(part), axis=0)])
        out = run(session, pixels_for(session, feed, mean, std), file)[0]
        logits.append(out[: len(part)])
    if not logits:
        raise DataError("images to predict must be at least 1, but there are 0")
    if logits[0].ndim != 2:
        raise ModelError(
            f"{_name(file)}: the first output must be logits (n, classes), but has shape "
            f"{logits[0].shape}"
        )
    return np.concatenate(logits).astype(np.float32)


def observe_ranges(
    file: bytes, images: np.ndarray, names: Sequence[str], batch: int = 64
) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of each named output over ``images``.

    Args:
        file: content of an ONNX file that takes uint8 images and gives ``names`` as outputs.
        images: uint8 (n, height, width, channels), n at least 1.
        names: float outputs of the file.
        batch: images a call.

    Raises:
        DataError: there are no images, or they have another size.
        ModelError: the file cannot be loaded or run.
    """
    if len(images) == 0:
        raise DataError("calibration images must be at least 1, but there are 0")
    session = open_session(file)
    _batch_of(session, images, file)
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for start in range(0, len(images), batch):
        feed = pixels_for(session, images[start : start + batch], (), ())
        values = run(session, feed, file, names)
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def pixels_for(
    session: onnxruntime.InferenceSession,
    images: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
) -> np.ndarray:
    """Return ``images``, uint8 (n, h, w, c), as the session wants them, (n, c, h, w).

    A session with uint8 input gets the pixels themselves, one with float input gets
    ``(pixel / 255 - mean) / std``.
    """
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if session.get_inputs()[0].type == _UINT8:
        return pixels
    center = np.asarray(mean, np.float32).reshape(1, -1, 1, 1)
    spread = np.asarray(std, np.float32).reshape(1, -1, 1, 1)
    return (pixels.astype(np.float32) / np.float32(255) - center) / spread


def run(
    session: onnxruntime.InferenceSession,
    pixels: np.ndarray,
    file: Path | bytes,
    outputs: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Run a session once and return the named outputs, or all of them.

    Raises:
        ModelError: the runtime failed.
    """
    try:
        results: list[np.ndarray] = session.run(outputs, {session.get_inputs()[0].name: pixels})
    except Exception as error:  # as in `open_session`
        raise ModelError(f"{_name(file)}: cannot be run: {_first_line(error)}") from error
    return results


def check_input(
    session: onnxruntime.InferenceSession, image_shape: Sequence[int], file: Path | bytes
) -> int | None:
    """Check that the session takes images of (channels, height, width).

    Returns:
        The file's fixed batch size, or None if it takes any.

    Raises:
        ModelError: the file does not take one batch of images.
        DataError: it takes images of another size.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in (_FLOAT, _UINT8):
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise ModelError(
            f"{_name(file)}: must have one input, float or uint8 (n, channels, height, width), "
            f"but has {found}"
        )
    wanted = inputs[0].shape
    if any(isinstance(w, int) and w != s for w, s in zip(wanted[1:], image_shape, strict=True)):
        raise DataError(
            f"{_name(file)}: takes images of (channels, height, width) = {tuple(wanted[1:])}, "
            f"but the images have {tuple(image_shape)}; use the dataset it was made for"
        )
    return wanted[0] if isinstance(wanted[0], int) else None


def input_shape(file: Path | bytes) -> tuple[int, int, int]:
    """Return the (channels, height, width) that a file takes.

    Raises:
        ModelError: the file cannot be loaded, is not an image classifier, or takes any size.
    """
    session = open_session(file)
    shape = session.get_inputs()[0].shape[1:]
    if len(shape) != 3 or not all(isinstance(size, int) for size in shape):
        raise ModelError(
            f"{_name(file)}: must state the size of its images, but takes {shape}; "
            "name a dataset that it was made for"
        )
    channels, height, width = shape
    return channels, height, width


def takes_pixels(file: Path | bytes) -> bool:
    """Return whether a file takes uint8 pixels and normalises them itself.

    Raises:
        ModelError: the file cannot be loaded.
    """
    return open_session(file).get_inputs()[0].type == _UINT8


def _ranges_at_run_time(file: Path | bytes) -> bool:
    """Return whether a file computes ranges of activations over all images of its input."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    return b"DynamicQuantizeLinear" in content  # its name in the file, as it is


def _batch_of(
    session: onnxruntime.InferenceSession, images: np.ndarray, file: Path | bytes
) -> int | None:
    height, width, channels = images.shape[1:]
    return check_input(session, (channels, height, width), file)


def _name(file: Path | bytes) -> str:
    return "a file in memory" if isinstance(file, bytes) else str(file)


def _first_line(error: Exception) -> str:
    return shortened(str(error).strip().split("\n")[0], 200)
