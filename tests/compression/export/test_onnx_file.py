import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pyarrow.parquet
import pytest
import torch
import torchvision
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from slimtune.compression.export.onnx_file import export_onnx
from slimtune.compression.quantization import Int8Static, NoQuantization
from slimtune.compression.quantization.protocol import Quantizer
from slimtune.errors import ModelError
from slimtune.measurement.accuracy import accuracy, check_parity, top1_agreement
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.workload.zoo.cifar_resnet import CifarResNet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = tuple("abcdefghij")
IMAGES = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)


def export(model: nn.Module, quantizer: Quantizer, images: np.ndarray = IMAGES) -> bytes:
    return export_onnx(
        model,
        image_shape=(3, *images.shape[1:3]),
        mean=MEAN,
        std=STD,
        classes=CLASSES,
        quantizer=quantizer,
        calibration=images,
        observe=observe_ranges,
    )


def normalised(images: np.ndarray) -> Tensor:
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (MEAN, STD))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


def torch_logits(model: nn.Module, images: np.ndarray = IMAGES) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(normalised(images)).numpy()


def run(content: bytes, images: np.ndarray = IMAGES) -> np.ndarray:
    return predict(content, images, mean=MEAN, std=STD)


def optimised_ops(content: bytes, folder: Path) -> Counter[str]:
    """Count what the runtime makes of the file at its default level."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(folder / "optimised.onnx").graph
    return Counter(node.op_type for node in graph.node)


def as_if_trained(model: nn.Module) -> nn.Module:
    """Give normalisations statistics that a trained network could have."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
                module.momentum = None
        model.train()
        model(normalised(IMAGES))
    return model.eval()


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return as_if_trained(CifarResNet(10, 3, depth=20))


def test_a_float_file_computes_what_the_network_computes(resnet: nn.Module) -> None:
    logits = run(export(resnet, NoQuantization()))
    np.testing.assert_allclose(logits, torch_logits(resnet), atol=1e-4)
    check_parity(torch_logits(resnet), logits, quantized=False)


def test_all_of_an_int8_resnet20_runs_on_integer_kernels(
    resnet: nn.Module, tmp_path: Path
) -> None:
    content = export(resnet, Int8Static())
    ops = optimised_ops(content, tmp_path)
    assert ops["QLinearConv"] == 19 + 2  # and the two shortcuts that select channels
    assert (ops["QLinearAdd"], ops["QGemm"], ops["QLinearGlobalAveragePool"]) == (9, 1, 1)
    assert not ops.keys() & {"Conv", "Gemm", "Relu", "DequantizeLinear", "BatchNormalization"}
    assert ops["QuantizeLinear"] == 1  # of the normalised image
    check_parity(torch_logits(resnet), run(content), quantized=True)


def test_an_int8_file_takes_a_byte_a_weight_and_little_more(resnet: nn.Module) -> None:
    weights = sum(p.numel() for p in resnet.parameters() if p.ndim > 1)
    channels = sum(m.num_features for m in resnet.modules() if isinstance(m, nn.BatchNorm2d))
    selections = 32 * 16 + 64 * 32
    numbers = weights + selections + 8 * channels  # a scale and a bias a channel
    assert len(export(resnet, Int8Static())) < numbers + 8_000
    assert len(export(resnet, NoQuantization())) < 4 * (weights + selections + channels) + 5_000


def onto_grid(x: Tensor, seen: Tensor) -> Tensor:
    """Round ``x`` to the uint8 grid of the range of ``seen``, by torch's own fake quantizer."""
    low, high = min(float(seen.min()), 0.0), max(float(seen.max()), 0.0)
    scale = (high - low) / 255
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)


def test_int8_logits_are_those_of_fake_quantization_in_torch() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3)
    last = nn.Linear(8 * 30 * 30, 10)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), last)
    content, exact = export(model, Int8Static()), torch_logits(model)
    with torch.no_grad():
        for layer in (first, second, last):
            scale = layer.weight.abs().flatten(1).amax(1) / 127
            zeros = torch.zeros(len(scale), dtype=torch.int32)
            layer.weight.copy_(
                torch.fake_quantize_per_channel_affine(layer.weight, scale, zeros, 0, -127, 127)
            )
        # Ranges are those of the network with rounded weights and exact activations.
        images = normalised(IMAGES)
        after_first = first(images).relu()
        after_second = second(after_first).relu()
        x = onto_grid(images, images)
        x = onto_grid(first(x).relu(), after_first)
        x = onto_grid(second(x).relu(), after_second)
        simulated = last(x.flatten(1)).numpy()
    # Values beside a tie may round the other way, which is far less than the rounding itself.
    difference, noise = run(content) - simulated, simulated - exact
    assert np.std(difference) < 0.1 * np.std(noise)


@pytest.mark.parametrize("quantizer", [NoQuantization(), Int8Static()])
def test_dead_and_nearly_dead_channels_export(quantizer: Quantizer) -> None:
    torch.manual_seed(0)
    model = as_if_trained(CifarResNet(10, 3, depth=8))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight[0], module.weight[1], module.weight[2] = 0.0, 1e-8, -1e-30
                module.weight[3], module.bias[1] = -0.8, 1.0
    logits = run(export(model, quantizer))
    check_parity(torch_logits(model), logits, quantized=quantizer.bits == 8)
    assert top1_agreement(torch_logits(model), logits) >= 0.9


SCRIPT = """
import hashlib
import numpy as np
import torch
from slimtune.compression.export.onnx_file import export_onnx
from slimtune.compression.quantization import Int8Static, NoQuantization
from slimtune.measurement.runtime import observe_ranges
from slimtune.workload.zoo.cifar_resnet import CifarResNet

def digests():
    torch.manual_seed(0)
    model = CifarResNet(10, 3, depth=8)
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)
    for quantizer in (NoQuantization(), Int8Static()):
        content = export_onnx(
            model, image_shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.5,) * 3,
            classes=list("abcdefghij"), quantizer=quantizer, calibration=images,
            observe=observe_ranges,
        )
        yield hashlib.sha256(content).hexdigest()

found = list(digests())
"""


def test_the_same_network_gives_the_same_bytes_in_any_process() -> None:
    command = [sys.executable, "-c", SCRIPT + "print(*found)"]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    here: list[list[str]] = []
    for _ in range(2):
        names: dict[str, list[str]] = {}
        exec(SCRIPT, names)
        here.append(names["found"])
    assert here[0] == here[1] == other


def test_the_file_describes_itself(resnet: nn.Module) -> None:
    file = onnx.load_from_string(export(resnet, Int8Static()))
    described = {entry.key: json.loads(entry.value) for entry in file.metadata_props}
    assert described == {
        "slimtune.schema": 1,
        "slimtune.input": {"dtype": "uint8", "layout": "NCHW"},
        "slimtune.classes": list(CLASSES),
        "slimtune.mean": list(MEAN),
        "slimtune.std": list(STD),
    }
    (image,) = file.graph.input
    assert image.name == "images"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == [
        "n",
        3,
        32,
        32,
    ]
    assert {entry.domain for entry in file.opset_import} == {""}  # standard operators only


def test_exporting_leaves_the_network_as_it_was(resnet: nn.Module) -> None:
    before = {name: value.clone() for name, value in resnet.state_dict().items()}
    export(resnet, Int8Static())
    assert before.keys() == resnet.state_dict().keys()
    assert all(torch.equal(v, before[name]) for name, v in resnet.state_dict().items())


def test_a_network_with_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(n, 10\), but gives \('n', 7\)"):
        export(CifarResNet(7, 3, depth=8), NoQuantization())


def small_resnet18() -> nn.Module:
    return torchvision.models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)


def small_densenet() -> nn.Module:
    return torchvision.models.DenseNet(8, (2, 2), 8, num_classes=10)


def small_mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25)


def small_shufflenet() -> nn.Module:
    return torchvision.models.shufflenet_v2_x0_5(num_classes=10)


@pytest.mark.parametrize(
    ("build", "convolutions"),
    [(small_resnet18, 12), (small_densenet, 10), (small_mobilenet, 52), (small_shufflenet, 56)],
)
def test_torchvision_networks_export_with_every_convolution_on_integers(
    build: Callable[[], nn.Module], convolutions: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = as_if_trained(build())
    expected = torch_logits(model)
    check_parity(expected, run(export(model, NoQuantization())), quantized=False)
    content = export(model, Int8Static())
    check_parity(expected, run(content), quantized=True)
    ops = optimised_ops(content, tmp_path)
    assert (ops["QLinearConv"], ops["Conv"]) == (convolutions, 0)


class Calibration(CalibrationDataReader):
    """The calibration images as ONNX Runtime's quantizer reads them."""

    def __init__(self, images: np.ndarray) -> None:
        self.feeds = iter([{"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


@pytest.mark.parametrize("build", [small_resnet18, small_mobilenet])
def test_int8_adds_no_more_noise_than_onnx_runtimes_own_quantizer(
    build: Callable[[], nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = as_if_trained(build())
    expected = torch_logits(model)
    float_path, int8_path = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    float_path.write_bytes(export(model, NoQuantization()))
    quantize_static(
        str(float_path),
        str(int8_path),
        Calibration(IMAGES),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    theirs = np.std(run(int8_path.read_bytes()) - expected)
    content = export(model, Int8Static())
    assert np.std(run(content) - expected) < 1.2 * theirs
    assert len(content) < int8_path.stat().st_size


def checkpoint(folder: Path) -> nn.Module:
    path = folder / "models" / "resnet20-cifar10-91.73.th"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model = CifarResNet(10, 3, depth=20)
    model.load_state_dict({name.removeprefix("module."): v for name, v in state.items()})
    return model.eval()


def cifar(folder: Path, file: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    table = pyarrow.parquet.read_table(folder / "data" / "cifar10" / file).slice(0, count)
    pictures = (Image.open(io.BytesIO(row["bytes"])) for row in table["img"].to_pylist())
    return np.stack([np.asarray(p) for p in pictures]), np.array(table["label"].to_pylist())


def test_a_trained_resnet20_keeps_its_accuracy_in_int8(shared_folder: Path) -> None:
    model = checkpoint(shared_folder)
    calibration, _ = cifar(shared_folder, "train-00000-of-00005.parquet", 256)
    images, labels = cifar(shared_folder, "test-00000-of-00001.parquet", 1000)
    expected = torch_logits(model, images)
    content = export(model, Int8Static(), calibration)
    logits = run(content, images)
    check_parity(expected, logits, quantized=True)
    assert accuracy(logits, labels) == pytest.approx(accuracy(expected, labels), abs=0.006)
    assert top1_agreement(logits, expected) > 0.98
    assert len(content) < 285_000  # 292,717 with shortcuts as Slice and Pad


def test_another_runtime_reads_the_int8_file_alike(shared_folder: Path) -> None:
    model = checkpoint(shared_folder)
    calibration, _ = cifar(shared_folder, "train-00000-of-00005.parquet", 256)
    images, _ = cifar(shared_folder, "test-00000-of-00001.parquet", 400)
    content = export(model, Int8Static(), calibration)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_NUM_THREADS": 1})
    other = compiled(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))[0]
    ours = run(content, images)
    # OpenVINO leaves out some roundings between layers, so it lies nearer to the float network.
    assert top1_agreement(ours, other) >= 0.98
    exact = torch_logits(model, images)
    assert np.std(other - exact) < 1.1 * np.std(ours - exact)
