import pytest
import torch
from torch import nn

from slimtune.workload.checkpoints import load_weights, save_weights
from tests.workload.checkpoints.checkpoint_files import network, refusal, same, saved

SAVED = {
    "tutorial": lambda sd: {"epoch": 3, "model_state_dict": sd, "optimizer_state_dict": {}},
    "compiled": lambda sd: under("_orig_mod.", sd),
    "lightning": lambda sd: {"state_dict": under("model.", sd), "hyper_parameters": {"lr": 0.1}},
    "lightning with a loss": lambda sd: {
        "state_dict": {**under("net.", sd), "loss.weight": torch.ones(10)}
    },
    "parallel and compiled": lambda sd: {"net": under("module._orig_mod.", sd), "acc": 0.9},
    "beside the weights": lambda sd: {**sd, "epoch": 3, "global_step": torch.tensor(7)},
    "swa": lambda sd: {"n_averaged": torch.tensor(5), **under("module.", sd)},
    "two wrappers": lambda sd: {"checkpoint": {"model": sd}, "best": 0.9},
    "in a tuple": lambda sd: (sd, {"epoch": 3}),
    "timm": lambda sd: {"arch": "x", "state_dict": sd, "state_dict_ema": halves(sd), "version": 2},
    "ema alone": lambda sd: {"ema": sd, "updates": 100},
    "the same twice": lambda sd: {"model": sd, "best_model": dict(sd)},
    "half": lambda sd: {k: t.half() if t.is_floating_point() else t for k, t in sd.items()},
    "bfloat16": lambda sd: {"model": {k: t.bfloat16() for k, t in sd.items()}},
    "double": lambda sd: {k: t.double() for k, t in sd.items()},
    "counted": lambda sd: {**sd, "total_ops": torch.ones(1), "layer1.total_ops": torch.ones(1)},
    "with its optimizer": lambda sd: {
        "model": sd, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}
    },
}  # fmt: skip


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def halves(state):
    return {name: tensor / 2 for name, tensor in state.items()}


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("way", SAVED)
def test_checkpoints_load_as_people_save_them(tmp_path, way, suffix):
    model, other = network(seed=1), network(seed=2)
    load_weights(other, saved(SAVED[way](model.state_dict()), tmp_path / f"a{suffix}"))
    low = {"half": torch.half, "bfloat16": torch.bfloat16}.get(way, torch.float32)
    for name, tensor in model.state_dict().items():
        wanted = tensor.to(low).to(tensor.dtype) if tensor.is_floating_point() else tensor
        assert torch.equal(other.state_dict()[name], wanted), name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_network_that_wraps_the_saved_one_loads_it(tmp_path, prefix):
    model, outer = network(seed=1), nn.Module()
    outer.backbone = network(seed=2)
    load_weights(outer, saved(under(prefix, model.state_dict()), tmp_path / "a.pth"))
    assert same(model, outer.backbone)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ""])
def test_safetensors_load_under_any_name(tmp_path, suffix):
    model, other = network(seed=1), network(seed=2)
    save_weights(model, tmp_path / f"a{suffix}")
    load_weights(other, tmp_path / f"a{suffix}")
    assert same(model, other)


def test_what_was_taken_and_left_is_said(tmp_path):
    state = network(seed=1).state_dict()
    two = {"state_dict": state, "state_dict_ema": halves(state)}
    words = load_weights(network(), saved(two, tmp_path / "a.pth"))
    assert words == "took 'state_dict'; 'state_dict_ema' would fit as well"
    words = load_weights(
        network(), saved({**under("net.", state), "loss.w": torch.ones(2)}, tmp_path / "b.pth")
    )
    assert words == "took 'net.'; the model has no loss.w"
    for way in ("tutorial", "compiled", "the same twice"):
        assert load_weights(network(), saved(SAVED[way](state), tmp_path / "c.pth")) == ""


def test_several_weights_that_fit_are_never_guessed_among(tmp_path):
    state = network(seed=1).state_dict()
    both = {**under("student_a.", state), **under("student_b.", halves(state))}
    message = refusal(saved(both, tmp_path / "a.pth"))
    assert "holds 2 sets of weights that fit the model ('student_a.', 'student_b.')" in message


def test_integers_are_never_taken_for_weights(tmp_path):
    state = network().state_dict()
    state["conv1.weight"] = state["conv1.weight"].char()
    message = refusal(saved(state, tmp_path / "a.pth"))
    assert "conv1.weight must be floating point, but is torch.int8" in message
