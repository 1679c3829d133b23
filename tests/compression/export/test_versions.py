import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from slimtune.compression.export.onnx_file import NumberFormat, Signature, export_file
from slimtune.compression.export.versions import OLDEST_TRIED, lower, oldest_runtime
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.quantization.fake_quantizers.baking import bake
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.zoo.cifar_resnet import CifarResNet

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
MEAN, STD = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
RUN = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
images = numpy.load(sys.argv[2]).transpose(0, 3, 1, 2)
numpy.save(sys.argv[3], session.run(None, {"images": numpy.ascontiguousarray(images)})[0])
"""


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy"]
    body = helper.make_graph(nodes, "one", info[:1], info[1:])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("kind", "attributes", "opset", "ir", "runtime"),
    [
        ("Relu", {}, 13, 7, OLDEST_TRIED),
        ("LayerNormalization", {}, 17, 8, OLDEST_TRIED),  # is new in 17
        ("ReduceMean", {}, 18, 8, OLDEST_TRIED),  # takes its axes as an input from 18 on
        ("AveragePool", {"kernel_shape": [2, 2]}, 13, 7, OLDEST_TRIED),
        ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, 19, 9, "1.15"),
        ("AveragePool", {"kernel_shape": [2, 2], "ceil_mode": 1}, 19, 9, "1.15"),
        ("Gelu", {}, 20, 9, "1.17"),
    ],
)
def test_a_file_states_the_lowest_versions_that_suffice(
    kind: str, attributes: dict[str, Any], opset: int, ir: int, runtime: str
) -> None:
    found = lower(model(helper.make_node(kind, ["x"], ["y"], **attributes)))
    assert (found.opset_import[0].version, found.ir_version) == (opset, ir)
    assert oldest_runtime(found) == runtime


def exported(method: str) -> bytes:
    torch.manual_seed(0)
    network: nn.Module = CifarResNet(10, 3, depth=8)
    few = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255 - 0.5
    network.train()(few)
    quantizer: Any = QUANTIZATION[method]()
    trained = quantizer.prepare(network.eval(), few)
    stored = quantizer.weights(trained, few)
    return export_file(
        bake(trained, stored),
        Signature((3, 32, 32), MEAN, STD, tuple("abcdefghij")),
        NumberFormat(stored, quantizer.activations, ranges=quantizer.ranges(trained)),
        calibration=IMAGES,
        observe=observe_ranges,
    ).onnx


def test_files_of_usual_networks_say_that_an_old_runtime_loads_them() -> None:
    file = onnx.load_from_string(exported("lsq"))
    known = {entry.key: entry.value for entry in file.metadata_props}
    assert known["slimtune.onnxruntime"] == f'">={OLDEST_TRIED}"'
    assert file.ir_version <= 8 and file.opset_import[0].version <= 18


def test_integer_convolutions_on_a_grid_found_at_run_time_need_a_newer_one() -> None:
    assert oldest_runtime(onnx.load_from_string(exported("int8_dynamic"))) == "1.31"


@pytest.mark.slow
def test_the_oldest_runtime_that_is_promised_gives_the_same_logits(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    wanted = [f"onnxruntime=={OLDEST_TRIED}.*", "numpy<2"]
    install = [python, "-m", "pip", "install", "-q", *wanted]
    if subprocess.run(install, capture_output=True).returncode:
        pytest.skip(f"onnxruntime {OLDEST_TRIED} cannot be installed here")
    np.save(tmp_path / "images.npy", IMAGES)
    for method in QUANTIZATION:
        content = exported(method)
        (tmp_path / "model.onnx").write_bytes(content)
        if oldest_runtime(onnx.load_from_string(content)) != OLDEST_TRIED:
            continue
        files = [str(tmp_path / name) for name in ("model.onnx", "images.npy", "logits.npy")]
        subprocess.run([python, "-c", RUN, *files], check=True)
        found, now = np.load(files[2]), predict(Path(files[0]), IMAGES, mean=MEAN, std=STD)
        assert np.abs(found - now).max() < 0.05 * now.std(), method
