import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
import torch

from slimtune.compression.pipeline import Compressed, compress
from slimtune.compression.recipe import Recipe
from slimtune.compression.training import network_logits
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.types import Workload


def made(workload: Workload, recipe: dict[str, Any], seed: int = 0, **more: Any) -> Compressed:
    torch.set_num_threads(1)
    return compress(workload, Recipe.from_dict(recipe), seed=seed, observe=observe_ranges, **more)


def conv_macs(file: bytes) -> int:
    """Multiply-accumulates of all convolutions and matrix products, counted in the graph."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(file), data_prop=True)
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.value_info, *model.graph.output]
    }
    weights = {i.name: list(i.dims) for i in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            out, inside, *kernel = weights[node.input[1]]
            _, _, height, width = shapes[node.output[0]]
            total += out * inside * height * width * kernel[0] * kernel[1]
        elif node.op_type == "Gemm":
            total += weights[node.input[1]][0] * weights[node.input[1]][1]
    return total


def test_doing_nothing_exports_the_baseline(digits: Workload) -> None:
    result = made(digits, {"train": {"epochs": 0}})
    images = digits.validation.images[:100]
    file = predict(result.onnx, images, mean=digits.mean, std=digits.std)
    torch.testing.assert_close(
        torch.from_numpy(file),
        network_logits(digits.baseline, images, digits),
        rtol=1e-3,
        atol=1e-3,
    )


def test_the_baseline_is_never_modified(digits: Workload) -> None:
    before = {k: v.clone() for k, v in digits.baseline.state_dict().items()}
    made(
        digits,
        {"prune": {"method": "l1", "amount": 0.5}, "distill": "base", "train": {"epochs": 1}},
    )
    for name, value in digits.baseline.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("method", ["l1", "fpgm"])
def test_removed_channels_are_gone_from_the_file(digits: Workload, method: str) -> None:
    whole = made(digits, {"train": {"epochs": 0}})
    recipe = {"prune": {"method": method, "amount": 0.5}, "train": {"epochs": 0}}
    pruned = made(digits, recipe)
    assert conv_macs(pruned.onnx) < 0.45 * conv_macs(whole.onnx)
    assert len(pruned.onnx) < 0.5 * len(whole.onnx)
    assert all(len(kept) % 8 == 0 for kept in pruned.kept.values())


def test_int8_takes_about_a_quarter_of_the_bytes(digits: Workload) -> None:
    whole = made(digits, {"train": {"epochs": 0}})
    quantized = made(digits, {"quantize": "int8_static", "train": {"epochs": 0}})
    assert len(quantized.onnx) < 0.36 * len(whole.onnx)


def test_a_recipe_and_a_seed_determine_every_bit_of_the_file(digits: Workload) -> None:
    recipe = {
        "prune": {"method": "fpgm", "amount": 0.4},
        "quantize": "int8_static",
        "distill": "base",
        "train": {"epochs": 1, "batch_size": 256},
    }
    hashes = [hashlib.sha256(made(digits, recipe, seed).onnx).hexdigest() for seed in (3, 3, 4)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_stages_are_reported_in_the_order_the_work_is_done(digits: Workload) -> None:
    stages: list[str] = []
    recipe = {"prune": {"method": "l1"}, "train": {"epochs": 1, "batch_size": 512}}
    made(digits, recipe, report=lambda stage, values: stages.append(stage))
    assert stages == ["prune", "fine-tune", "fine-tune", "export"]


def test_without_epochs_nothing_is_trained(digits: Workload) -> None:
    assert made(digits, {"train": {"epochs": 0}}).history == []


def test_as_many_training_images_calibrate_as_the_quantizer_asks_for(digits: Workload) -> None:
    seen: list[np.ndarray] = []

    def observe(file: bytes, images: np.ndarray, names: Sequence[str]) -> Any:
        seen.append(images)
        return observe_ranges(file, images, names)

    recipe = Recipe.from_dict(
        {"quantize": {"method": "int8_static", "calibration_images": 64}, "train": {"epochs": 0}}
    )
    compress(digits, recipe, seed=0, observe=observe)
    pixels = {image.tobytes() for image in digits.train.images}
    assert [len(images) for images in seen] == [64]
    assert all(image.tobytes() in pixels for image in seen[0])


@pytest.mark.parametrize("quantizer", ["none", "int8_static"])
def test_a_second_runtime_names_the_same_classes(digits: Workload, quantizer: str) -> None:
    recipe = {
        "prune": {"method": "fpgm", "amount": 0.3},
        "quantize": quantizer,
        "train": {"epochs": 2, "batch_size": 64, "lr": 0.05},
    }
    file = made(digits, recipe).onnx
    images = np.concatenate([digits.validation.images, digits.test.images])
    ours = predict(file, images, mean=digits.mean, std=digits.std).argmax(axis=1)
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(file), "CPU", settings)
    theirs = compiled(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0].argmax(axis=1)
    assert (ours == theirs).mean() >= 0.995
