import functools
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from slimtune.errors import ModelError
from slimtune.workload.augment import normalise
from slimtune.workload.checkpoints import load_weights, save_weights, weights_bytes
from slimtune.workload.datasets import load_dataset
from slimtune.workload.shortcut import materialize_shortcuts
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build
from tests.workload.checkpoints.checkpoint_files import network, refusal, same, saved

SHARED = Path(__file__).parents[2].parent / "shared"
THIRD_PARTY = [
    ("resnet20", "resnet20-cifar10-91.73.th", 0.9173),
    ("resnet56", "resnet56-cifar10-93.39.th", 0.9339),
]
needs_shared = pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason=f"third-party checkpoints are not in {SHARED}"
)


class Payload:
    """Unpickling it creates a file: proof that a pickle was run."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_saved_weights_load_bit_for_bit(tmp_path):
    model, other = network(seed=1), network(seed=2)
    save_weights(model, tmp_path / "model.safetensors")
    assert not same(model, other)
    load_weights(other, tmp_path / "model.safetensors")
    assert same(model, other)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_bytes_are_those_of_the_file(tmp_path):
    model = network().to(memory_format=torch.channels_last)
    save_weights(model, tmp_path / "model.safetensors")
    content = weights_bytes(model)
    assert (tmp_path / "model.safetensors").read_bytes() == content
    restored = safetensors.torch.load(content)
    assert torch.equal(restored["conv1.weight"], model.conv1.weight)


def test_tied_weights_are_saved(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "tied.safetensors")
    other = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    load_weights(other, tmp_path / "tied.safetensors")
    assert same(model, other)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_wrappers_and_the_parallel_prefix_are_taken_off(tmp_path, wrapper, prefix, zipped):
    model, other = network(seed=1), network(seed=2)
    content = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    content = {wrapper: content, "epoch": 3} if wrapper else content
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    load_weights(other, tmp_path / "a.pth")
    assert same(model, other)


def test_old_files_without_batch_counters_load(tmp_path):
    model, other = network(seed=1), network(seed=2)
    state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    load_weights(other, saved(state, tmp_path / "a.pth"))
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(model(x), other(x))


def test_half_precision_files_load_into_single_precision(tmp_path):
    model, other = network(seed=1), network(seed=2)
    state = {name: t.half() for name, t in model.state_dict().items()}
    load_weights(other, saved(state, tmp_path / "a.pth"))
    assert other.conv1.weight.dtype == torch.float32
    assert torch.equal(other.conv1.weight, model.conv1.weight.half().float())


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_a_missing_file_is_refused(tmp_path, name):
    assert "does not exist" in refusal(tmp_path / name)


def test_a_folder_is_refused_as_such(tmp_path):
    assert "is a folder; name the file in it" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_with_its_path(tmp_path, suffix, kept):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        saved(network().state_dict(), whole)
    else:
        save_weights(network(), whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "cannot be read as weights" in refusal(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("word", ["not weights at all\n", "hello world", "\0", "<html>"])
def test_a_file_of_something_else_is_refused(tmp_path, name, word):
    (tmp_path / name).write_text(word * 99)
    assert "cannot be read as weights" in refusal(tmp_path / name)


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path):
    message = refusal(saved(network(), tmp_path / "a.pth"))
    assert "contains a pickled object, not plain weights" in message
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_a_payload_is_never_run(tmp_path, zipped):
    marker, path = tmp_path / "was_run", tmp_path / "evil.pth"
    content = {"state_dict": network().state_dict(), "extra": Payload(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "contains a pickled object" in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # shows that the payload is live
    assert marker.is_dir()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_a_bare_pickle_with_a_payload_is_never_run(tmp_path, protocol):
    marker, path = tmp_path / "was_run", tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Payload(marker), protocol))
    assert "cannot be read as weights" in refusal(path)
    assert "contains a pickled object" in refusal(path.rename(tmp_path / "evil.pth"))
    assert not marker.exists()


def test_a_torchscript_archive_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing such files is deprecated, finding them is not
        torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "a.pt")
    assert "contains a pickled object" in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], torch.zeros(2), {}, {"a": 1}, {3: torch.zeros(1)}, "text", None]
)
def test_content_other_than_named_tensors_is_refused(tmp_path, content):
    assert "needs names with tensors" in refusal(saved(content, tmp_path / "a.pth"))


def test_missing_and_unexpected_names_are_listed_up_to_five_each(tmp_path):
    state = network().state_dict()
    renamed = {name.replace("conv", "kernel"): tensor for name, tensor in state.items()}
    message = refusal(saved(renamed, tmp_path / "a.pth"))
    assert "7 missing (conv1.weight, layer1.0.conv1.weight, " in message
    assert "7 unexpected (kernel1.weight, " in message and message.count("kernel") == 5
    assert "choose the architecture" in message


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "a.b.", "net._orig_mod."])
def test_a_common_prefix_is_not_what_a_refusal_lists(tmp_path, prefix):
    state = network().state_dict()
    del state["layer2.0.bn1.bias"]
    renamed = {prefix + name: tensor for name, tensor in state.items()}
    message = refusal(saved({"weights": renamed}, tmp_path / "a.pth"))
    assert "1 missing (layer2.0.bn1.bias)" in message and "unexpected" not in message


class Options:
    """As argparse's, in a module that can be imported."""


PICKLED = {
    "module": lambda net: net,
    "module in a dict": lambda net: {"epoch": 1, "model": net, "args": Options()},
    "weights beside options": lambda net: {"state_dict": net.state_dict(), "args": Options()},
    "options among weights": lambda net: {**net.state_dict(), "args": Options()},
}


@pytest.mark.parametrize("how", ["zip", "old", "pickle"])
@pytest.mark.parametrize("what", PICKLED)
def test_the_two_lines_take_the_weights_out_of_a_pickle(tmp_path, what, how):
    model, other = network(seed=1), network(seed=2)
    path = tmp_path / "it's.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps(PICKLED[what](model)))
    else:
        torch.save(PICKLED[what](model), path, _use_new_zipfile_serialization=how == "zip")
    _, *lines = refusal(path).splitlines()
    assert len(lines) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec("\n".join(lines), {})
    load_weights(other, tmp_path / "it's-weights.pt")
    assert same(model, other)


def test_one_missing_name_is_named(tmp_path):
    state = network().state_dict()
    del state["layer2.0.bn1.bias"]
    message = refusal(saved(state, tmp_path / "a.pth"))
    assert "1 missing (layer2.0.bn1.bias)" in message and "unexpected" not in message


def test_a_head_for_other_classes_is_explained(tmp_path):
    path = saved(network(num_classes=1000).state_dict(), tmp_path / "a.pth")
    message = refusal(path)
    assert "linear.weight is (1000, 64) in the file, (10, 64) in the model" in message
    assert "the file has 1000 classes, the data 10" in message


def test_a_first_layer_for_other_channels_is_explained(tmp_path):
    message = refusal(saved(network(in_channels=3).state_dict(), tmp_path / "a.pth"))
    assert "conv1.weight is (16, 3, 3, 3) in the file, (16, 1, 3, 3) in the model" in message
    assert "the file expects images of 3 channels, the data has 1" in message


def test_another_shape_is_named_with_both_shapes(tmp_path):
    state = network().state_dict() | {"layer1.0.conv1.weight": torch.zeros(16, 16, 1, 1)}
    message = refusal(saved(state, tmp_path / "a.pth"))
    assert "layer1.0.conv1.weight is (16, 16, 1, 1) in the file, (16, 16, 3, 3)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    state = network().state_dict()
    state["bn1.weight"][3] = value
    assert "bn1.weight must be finite" in refusal(
        saved(state, tmp_path / "a.pth"), network(seed=5)
    )


def test_writing_into_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be written"):
        save_weights(network(), tmp_path / "none" / "model.safetensors")


@needs_shared
@pytest.mark.parametrize(("name", "file", "accuracy"), THIRD_PARTY)
def test_the_third_party_checkpoints_load_strictly(name, file, accuracy):
    torch.manual_seed(0)
    model = build(Architecture(name, 10, 3))
    load_weights(model, SHARED / "models" / file)
    content = torch.load(SHARED / "models" / file, map_location="cpu", weights_only=True)
    theirs = content["state_dict"]
    ours = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    assert {f"module.{key}" for key in ours} == set(theirs)
    assert all(torch.equal(ours[key], theirs[f"module.{key}"]) for key in ours)


@functools.cache
def cifar10():
    return load_dataset(f"parquet:{SHARED / 'data' / 'cifar10'}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs_shared
@pytest.mark.parametrize(("name", "file", "accuracy"), THIRD_PARTY)
def test_the_third_party_checkpoints_score_what_was_published(name, file, accuracy):
    dataset = cifar10()
    model = build(Architecture(name, 10, 3)).eval().to(memory_format=torch.channels_last)
    load_weights(model, SHARED / "models" / file)
    hits = 0
    with torch.inference_mode():
        for start in range(0, len(dataset.test), 500):
            batch = dataset.test.take(np.arange(start, start + 500))
            images = normalise(torch.from_numpy(batch.images), dataset.mean, dataset.std)
            hits += np.sum(model(images).argmax(1).numpy() == batch.labels)
    assert hits / len(dataset.test) == accuracy


def test_weights_that_slimtune_wrote_with_selection_convolutions_load_again(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    written = materialize_shortcuts(build(Architecture("resnet8", 10, 3)))
    save_weights(written, tmp_path / "net.safetensors")
    model = build(Architecture("resnet8", 10, 3))
    load_weights(model, tmp_path / "net.safetensors")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(model.eval()(images), written.eval()(images))


def test_a_selection_of_other_channels_is_not_taken_for_option_a(tmp_path: Path) -> None:
    written = materialize_shortcuts(build(Architecture("resnet8", 10, 3)))
    written.layer2[0].shortcut.weight.data.zero_()
    save_weights(written, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="layer2.0.shortcut.weight"):
        load_weights(build(Architecture("resnet8", 10, 3)), tmp_path / "net.safetensors")
