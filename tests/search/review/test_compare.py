from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from slimtune.compression.export.onnx_file import NumberFormat, Signature, export_file
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.compression.quantization.rounding.fit import fit_max
from slimtune.errors import ConfigError, ModelError
from slimtune.measurement.cost import count_cost
from slimtune.measurement.runtime import observe_ranges
from slimtune.search.review.compare import compare_models
from slimtune.search.review.evaluate import evaluate_file
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Workload


@pytest.fixture(scope="module")
def folder(digits: Workload, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its float file, a 4-bit file of ours and an 8-bit file of another tool."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    model = digits.baseline
    save_weights(model, folder / "w.safetensors")
    stored = {n: fit_max(p, 4) for n, p in model.named_parameters() if p.ndim > 1}
    stored = {n: w for n, w in stored.items() if "shortcut" not in n}
    (folder / "four").mkdir()
    for name, weights in (("float.onnx", {}), ("four/model.onnx", stored)):
        content = export_file(
            bake(model, weights),
            Signature(digits.image_shape, digits.mean, digits.std, digits.classes),
            NumberFormat(weights, "static" if weights else "float"),
            calibration=digits.train.images[:64],
            observe=observe_ranges,
        ).onnx
        (folder / name).write_bytes(content)
    quantize_dynamic(folder / "float.onnx", folder / "theirs.onnx", weight_type=QuantType.QUInt8)
    return folder


def test_files_and_checkpoints_of_any_origin_stand_side_by_side(
    folder: Path, digits: Workload
) -> None:
    models = ["float.onnx", "four", "theirs.onnx"]
    paths = [f"resnet8={folder / 'w.safetensors'}", *(str(folder / name) for name in models)]
    checkpoint, exact, four, theirs = compare_models(paths, data="digits")
    cost = count_cost(digits.baseline, digits.image_shape)
    assert (checkpoint.params, checkpoint.macs) == (cost.params, cost.macs)
    assert {row.macs for row in (exact, four, theirs)} == {cost.macs}
    assert (four.bops, theirs.bops) == (cost.macs * 4 * 8, cost.macs * 8 * 8)
    assert checkpoint.compression_ratio == 1.0
    assert four.compression_ratio == checkpoint.size_bytes / four.size_bytes > 5
    assert four.size_bytes == (folder / "four" / "model.onnx").stat().st_size
    assert checkpoint.test_accuracy == exact.test_accuracy
    assert four.packed_bytes < theirs.packed_bytes < exact.packed_bytes
    assert all(row.latency_ms > 0 for row in (checkpoint, exact, four, theirs))
    evaluated = evaluate_file(folder / "four" / "model.onnx", "digits")
    assert four.test_accuracy == evaluated["test_accuracy"] > 0.8
    assert four.test_standard_error == pytest.approx(
        np.sqrt(four.test_accuracy * (1 - four.test_accuracy) / 539)
    )


def test_without_data_a_file_is_counted_and_timed_but_not_tested(folder: Path) -> None:
    (row,) = compare_models([str(folder / "float.onnx")])
    assert (row.test_accuracy, row.test_standard_error, row.test_images) == (None, None, None)
    assert row.params > 0 and row.latency_ms > 0


def test_what_cannot_be_compared_is_refused(folder: Path) -> None:
    checkpoint = f"resnet8={folder / 'w.safetensors'}"
    with pytest.raises(ConfigError, match="a checkpoint needs --data or --run"):
        compare_models([checkpoint])
    with pytest.raises(ModelError, match="there is no file"):
        compare_models([str(folder / "none.onnx")], data="digits")
    with pytest.raises(ModelError, match="there is no file"):
        compare_models([f"resnet8={folder / 'none.th'}"], data="digits")
    with pytest.raises(ModelError, match="must be an ONNX file|must be a model"):
        compare_models([str(folder / "w.safetensors")], data="digits")


@pytest.mark.slow
def test_a_third_party_checkpoint_scores_what_its_authors_say(shared_folder: Path) -> None:
    """Oracle 1, and the published 91.73 % of akamaster's ResNet-20."""
    checkpoint = shared_folder / "models" / "resnet20-cifar10-91.73.th"
    data = f"parquet:{shared_folder / 'data' / 'cifar10'}"
    (row,) = compare_models([f"resnet20={checkpoint}"], data=data)
    assert (row.params, row.macs, row.packed_bytes) == (269_722, 40_551_040, 1_084_392)
    assert row.test_accuracy == pytest.approx(0.9173, abs=1e-6)
