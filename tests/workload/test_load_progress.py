import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from slimtune.workload import load_progress
from slimtune.workload.sources.decoding import EncodedImage, decode_images


def test_decoding_is_told_of_now_and_then_and_only_inside(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(file)
    images = [EncodedImage(file, "a.png")] * 600  # three runs of 256
    heard: list[tuple[int, int]] = []
    clock = itertools.count().__next__
    with load_progress.listening(lambda *images: heard.append(images), 0.5, clock):
        decode_images(images)
    assert heard == [(256, 600), (512, 600), (600, 600)]
    decode_images(images)
    assert len(heard) == 3


def test_what_is_over_soon_is_not_told_of() -> None:
    heard: list[int] = []
    with load_progress.listening(lambda done, _: heard.append(done), 0.5, lambda: 0.0):
        load_progress.report_decoded(1, 2)
    assert heard == []
