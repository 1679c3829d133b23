import json
from pathlib import Path

import pytest
import torch

from slimtune.compression.quantization.fake_quantizers.input_ranges import (
    RangedConv2d,
    RangedLinear,
)
from slimtune.compression.training.loop import network_accuracy, network_logits
from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, ModelError
from slimtune.measurement.accuracy import top1_agreement
from slimtune.measurement.runtime import predict
from slimtune.search.saved import load_model
from slimtune.search.trial.spec import TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.own_code import allow_code, consent_ends, load_code
from slimtune.workload.types import Workload


def test_a_pruned_network_comes_back_as_a_module_that_agrees_with_its_file(
    digits: Workload, tmp_path: Path
) -> None:
    recipe = {"prune": {"method": "fpgm", "amount": 0.6}, "train": {"epochs": 1}}
    outcome = run_trial(digits, TrialSpec(number=0, recipe=recipe, conditions=Conditions(seed=0)))
    for name, data in outcome.files.items():
        (tmp_path / name).write_bytes(data)
    model = load_model(tmp_path)
    images = digits.validation.images
    file = torch.from_numpy(
        predict(tmp_path / "model.onnx", images, mean=digits.mean, std=digits.std)
    )
    torch.testing.assert_close(network_logits(model, images, digits), file, rtol=1e-3, atol=1e-3)
    assert network_accuracy(model, digits.validation, digits) == outcome.objectives["accuracy"]


@pytest.mark.parametrize("method", ["int8_static", "apot", "lsq", "pact", "dorefa"])
def test_a_quantized_network_comes_back_with_the_ranges_that_its_layers_clip_to(
    digits: Workload, tmp_path: Path, method: str
) -> None:
    learned = {"bits": 4, "activation_bits": 4, "epochs": 1} if method != "int8_static" else {}
    recipe = {
        "prune": {"method": "l1", "amount": 0.4},
        "quantize": {"method": method, **learned},
        "train": {"epochs": 1, "batch_size": 64},
    }
    outcome = run_trial(digits, TrialSpec(number=0, recipe=recipe, conditions=Conditions(seed=0)))
    for name, data in outcome.files.items():
        (tmp_path / name).write_bytes(data)
    model = load_model(tmp_path)
    images = digits.validation.images
    file = predict(tmp_path / "model.onnx", images, mean=digits.mean, std=digits.std)
    network = network_logits(model, images, digits).numpy()
    noise = float(((file - network) ** 2).mean() ** 0.5 / network.std())
    assert noise < 0.05  # of one whose inputs are not clipped: 0.1 and more
    assert top1_agreement(network, file) >= 0.96
    found = [m for m in model.modules() if isinstance(m, RangedConv2d | RangedLinear)]
    assert bool(found) == bool(learned)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model.safetensors"):
        load_model(tmp_path)


def test_damaged_files_are_refused_by_name(digits: Workload, tmp_path: Path) -> None:
    outcome = run_trial(
        digits, TrialSpec(number=0, recipe={"train": {"epochs": 0}}, conditions=Conditions(seed=0))
    )
    (tmp_path / "model.json").write_bytes(outcome.files["model.json"])
    (tmp_path / "model.safetensors").write_bytes(outcome.files["model.safetensors"][:1000])
    with pytest.raises(ModelError, match="model.safetensors"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(outcome.files["model.safetensors"])
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ModelError, match="model.json: names no architecture"):
        load_model(tmp_path)
    sound = json.loads(outcome.files["model.json"])
    for name, value in (("num_classes", 2**31), ("in_channels", None), ("name", 3), ("name", [])):
        architecture = {**sound["architecture"], name: value}
        (tmp_path / "model.json").write_text(json.dumps({**sound, "architecture": architecture}))
        with pytest.raises(ModelError, match="names no architecture|must be a whole number"):
            load_model(tmp_path)
    for ranges in ([1], {"fc.weight": 3}, {"fc.weight": [1, 2]}, {"none.weight": [0, 1]}):
        (tmp_path / "model.json").write_text(json.dumps({**sound, "input_ranges": ranges}))
        with pytest.raises(ModelError, match="model.json: damaged"):
            load_model(tmp_path)


def test_a_network_of_the_users_own_comes_back_with_consent_only(
    own_net: Path, tmp_path: Path
) -> None:
    reference = f"{own_net}:make"
    architecture = {"name": reference, "num_classes": 3, "in_channels": 1}
    with consent_ends():
        allow_code(reference)
        network = load_code(reference)(num_classes=3, in_channels=1).eval()
    save_weights(network, tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps({"architecture": architecture}))
    with pytest.raises(ConfigError, match="net.py:make' .* needs --allow-code"):
        load_model(tmp_path)
    moved = own_net.rename(own_net.with_name("moved.py"))
    images = torch.rand(2, 1, 12, 10)
    with consent_ends():
        loaded = load_model(tmp_path, model=f"{moved}:make")
        assert torch.equal(loaded(images), network(images))
    moved.rename(own_net)
    assert torch.equal(load_model(tmp_path, allow_code=True)(images), network(images))
