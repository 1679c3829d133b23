import copy
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.distillation import FeatureMse, MutualLearning
from slimtune.compression.distillation.protocol import Batch
from slimtune.compression.pipeline import (
    Compressed,
    Report,
    StudentState,
    compress,
)
from slimtune.compression.pruning import L1
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Prune, Train
from slimtune.compression.training.loop import network_logits
from slimtune.compression.training.teaching import teacher_of
from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, NonFiniteError
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.shortcut import SelectionConv2d
from slimtune.workload.types import Architecture, Workload
from slimtune.workload.zoo.build import build


def made(workload: Workload, recipe: dict[str, Any], seed: int = 0, **more: Any) -> Compressed:
    torch.set_num_threads(1)
    return compress(
        workload, Recipe.from_dict(recipe), Conditions(seed=seed), observe=observe_ranges, **more
    )


def reporter(stages: list[str]) -> Report:
    return lambda stage, values: stages.append(stage)


def conv_macs(file: bytes) -> int:
    """Multiply-accumulates of all convolutions and products, in the graph that the runtime runs.

    Its constants are folded: a weight may be stored packed.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/folded.onnx"
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        folded = onnx.load(options.optimized_model_filepath)
    model = onnx.shape_inference.infer_shapes(folded, data_prop=True)
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


def test_a_saved_stage_goes_on_to_the_same_file(digits: Workload) -> None:
    recipe = {
        "prune": {"method": "l1", "amount": 0.4},
        "quantize": "int8_static",
        "distill": "base",
        "train": {"epochs": 1, "batch_size": 256},
    }
    saved: list[StudentState] = []

    def keep(progress: StudentState) -> None:
        saved.append(replace(progress, model=copy.deepcopy(progress.model)))

    whole = made(digits, recipe, keep=keep)
    assert [progress.done for progress in saved] == ["prune", "train"]
    for progress in saved:
        stages: list[str] = []
        again = made(digits, recipe, start=progress, report=reporter(stages))
        assert again.onnx == whole.onnx and again.history == whole.history
        assert "prune" not in stages and ("fine-tune" in stages) == (progress.done == "prune")


def test_another_student_is_built_trained_and_named(digits: Workload) -> None:
    recipe = {"student": "resnet14", "distill": "base", "train": {"epochs": 1, "batch_size": 256}}
    asked: list[tuple[Architecture, str | None]] = []

    def build(architecture: Architecture, weights: str | None) -> nn.Module:
        asked.append((architecture, weights))
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    result = made(digits, recipe, build=build)
    assert asked == [(replace(digits.architecture, name="resnet14"), None)]
    assert result.architecture.name == "resnet14" and len(result.history) == 1
    assert sum(p.numel() for p in result.model.parameters()) == 650


def test_without_a_way_to_build_it_another_student_is_refused(digits: Workload) -> None:
    with pytest.raises(ConfigError, match="student.model: no way to build resnet14"):
        made(digits, {"student": "resnet14"})


def test_another_teacher_teaches_something_else(digits: Workload) -> None:
    recipe = {"distill": "base", "train": {"epochs": 1, "batch_size": 256}}
    torch.manual_seed(1)
    noise = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    taught = made(replace(digits, teacher=noise), recipe)
    assert taught.history[0].loss > 2 * made(digits, recipe).history[0].loss


def test_training_settings_each_change_the_result_and_repeat_it(digits: Workload) -> None:
    base = {"epochs": 1, "batch_size": 256}
    files = {}
    for change in (
        {},
        {"mixup": 0.4},
        {"dropout": 0.3},
        {"optimizer": "adamw", "lr": 0.001},
        {"schedule": "constant"},
        {"label_smoothing": 0.1},
    ):
        first, second = (made(digits, {"train": {**base, **change}}).onnx for _ in range(2))
        assert first == second
        files[str(change)] = first
    assert len(set(files.values())) == len(files)


def test_without_epochs_nothing_is_trained(digits: Workload) -> None:
    assert made(digits, {"train": {"epochs": 0}}).history == []


@pytest.mark.parametrize(
    ("setting", "epochs"), [("train.lr", {"train": {"epochs": 1}}), ("quantize.lr", {})]
)
def test_training_that_diverges_names_the_setting_to_lower(
    digits: Workload, setting: str, epochs: dict[str, Any]
) -> None:
    few = replace(digits, train=digits.train.take(np.arange(8)))
    network = copy.deepcopy(digits.baseline)
    next(network.parameters()).data.fill_(float("nan"))
    lsq = {"quantize": {"method": "lsq", "epochs": 1}, "train": {"epochs": 0}}
    with pytest.raises(NonFiniteError, match=rf"the loss became nan .*: {setting}$"):
        made(replace(few, baseline=network), epochs or lsq)


def test_as_many_training_images_calibrate_as_the_quantizer_asks_for(digits: Workload) -> None:
    seen: list[np.ndarray] = []

    def observe(file: bytes, images: np.ndarray, names: Sequence[str]) -> Any:
        seen.append(images)
        return observe_ranges(file, images, names)

    recipe = Recipe.from_dict(
        {"quantize": {"method": "int8_static", "calibration_images": 64}, "train": {"epochs": 0}}
    )
    compress(digits, recipe, Conditions(seed=0), observe=observe)
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


@pytest.mark.parametrize(
    "prune",
    [
        {"method": "l1", "amount": 0, "schedule": "incremental"},
        {"method": "bn_scale", "amount": 0, "sparsity_epochs": 1},
    ],
)
def test_recipes_of_one_key_end_in_one_file(digits: Workload, prune: dict[str, Any]) -> None:
    plain = {"train": {"epochs": 0, "batch_size": 256}}
    idle = {**plain, "prune": prune}
    assert Recipe.from_dict(idle).key() == Recipe.from_dict(plain).key()
    assert made(digits, idle).onnx == made(digits, plain).onnx


def test_a_penalty_before_pruning_acts_in_every_order(digits: Workload) -> None:
    stages: list[str] = []
    recipe = {
        "prune": {"method": "bn_scale", "sparsity_epochs": 1},
        "quantize": {"method": "lsq", "epochs": 0},
        "train": {"epochs": 1, "batch_size": 512},
        "order": "spq",
    }
    made(digits, recipe, report=reporter(stages))
    assert list(dict.fromkeys(stages)) == ["sparsify", "fine-tune", "prune", "export"]


def test_spq_by_the_epoch_leaves_as_many_channels_as_its_rate_says(digits: Workload) -> None:
    recipe = {
        "prune": {"method": "fpgm", "schedule": "per_epoch", "rate": 0.2, "round_to": 1},
        "quantize": {"method": "apot", "epochs": 0},
        "train": {"epochs": 3, "batch_size": 256},
        "order": "spq",
    }
    stages: list[str] = []
    kept = made(digits, recipe, report=reporter(stages)).kept
    assert list(dict.fromkeys(stages)) == ["fine-tune", "prune", "export"]
    widths = dict(digits.baseline.named_modules())
    assert kept and all(
        len(left) == round(widths[name].out_channels * 0.8**3)  # type: ignore[arg-type, operator]
        for name, left in kept.items()
    )


def test_a_students_layout_in_memory_moves_no_bit(digits: Workload) -> None:
    recipe = {
        "quantize": {"method": "apot", "epochs": 0},
        "train": {"epochs": 1, "batch_size": 512},
    }
    saved: list[StudentState] = []
    whole = made(
        digits, recipe, keep=lambda at: saved.append(replace(at, model=copy.deepcopy(at.model)))
    )
    start = saved[-1]
    start.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    assert made(digits, recipe, start=start).onnx == whole.onnx


def test_recalibration_sees_the_clipping_of_the_file(digits: Workload) -> None:
    """A 2-bit LSQ range cuts much off; statistics without that would fit another network."""
    recipe = {
        "quantize": {"method": "lsq", "bits": 3, "activation_bits": 2, "epochs": 2, "lr": 0.05},
        "train": {"epochs": 0, "batch_size": 64, "recalibrate": True},
    }
    result = made(digits, recipe)
    images = digits.validation.images
    ours = network_logits(result.computed, images, digits).numpy()
    theirs = predict(result.onnx, images, mean=digits.mean, std=digits.std)
    assert np.sqrt(np.square(ours - theirs).mean()) < 0.1 * ours.std()
    assert np.mean(theirs.argmax(1) == digits.validation.labels) > 0.9


def test_a_wider_teachers_channels_are_not_picked_by_the_students_keep_list(
    digits: Workload,
) -> None:
    """They are other channels; an adapter must learn which belong together."""
    widths: list[int] = []

    class Looking(FeatureMse):
        def loss(self, batch: Batch) -> Tensor:
            widths.append(batch.levels[-1].teacher_out.shape[1])
            return FeatureMse.loss(self, batch)

    torch.manual_seed(0)
    wide = build(replace(digits.architecture, name="resnet8x2")).eval()
    recipe = Recipe(prune=Prune(method=L1()), distill=Looking(), train=Train(epochs=1))
    for workload in (replace(digits, teacher=wide), digits):
        compress(workload, recipe, Conditions(seed=0), observe=observe_ranges)
    assert widths[0] == 128 and widths[-1] == 32


def test_a_peers_frozen_selections_stay_frozen(digits: Workload) -> None:
    """Option-A shortcuts are 0/1 selections, for a peer that is trained along too."""
    peer = teacher_of(digits, MutualLearning(), "cpu")
    assert peer is not None
    for module in peer.modules():
        for parameter in module.parameters(recurse=False):
            assert parameter.requires_grad == (not isinstance(module, SelectionConv2d))
    assert any(isinstance(module, SelectionConv2d) for module in peer.modules())
