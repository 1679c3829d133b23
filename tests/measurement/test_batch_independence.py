import io

import numpy as np
import pytest
import torch
from torch import nn

from slimtune.errors import ExportMismatchError
from slimtune.measurement.batch_independence import check_batch_independence

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)


class OverTheBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(0, keepdim=True)).flatten(1)[:, :4]


def file_of(network: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.onnx.export(
        network.eval(), (torch.zeros(2, 1, 8, 8),), buffer, dynamo=False,  # type: ignore[arg-type]
        input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )  # fmt: skip
    return buffer.getvalue()


def test_a_file_that_looks_at_each_image_alone_passes() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 4))
    check_batch_independence(file_of(network), IMAGES, mean=(0.5,), std=(0.5,), quantized=False)


def test_a_file_that_compares_the_images_of_a_batch_is_refused() -> None:
    with pytest.raises(ExportMismatchError, match="one image at a time and 8 at a time disagree"):
        check_batch_independence(
            file_of(OverTheBatch()), IMAGES, mean=(0.5,), std=(0.5,), quantized=False
        )
