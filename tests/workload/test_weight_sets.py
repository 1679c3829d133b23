import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from slimtune.workload.checkpoints import load_weights, save_weights
from slimtune.workload.weight_sets import WeightSet, common_prefix, fitting, nearest, sets_in
from tests.workload.checkpoint_files import network, refusal, same, saved

NAMES = ("conv.weight", "fc.weight", "fc.bias")
words = st.from_regex(r"[a-z_]{1,8}\.", fullmatch=True)


def tensors(prefix: str = "", value: float = 1.0) -> dict[str, torch.Tensor]:
    return {prefix + name: torch.full((2,), value) for name in NAMES}


@given(prefixes=st.lists(words, max_size=3), entries=st.lists(words, max_size=3))
def test_any_prefix_in_any_entries_is_taken_off(prefixes: list[str], entries: list[str]) -> None:
    content = tensors("".join(prefixes))
    for entry in entries:
        content = {entry: content, "epoch": 3}
    [found] = sets_in(content)
    [part] = fitting(found, NAMES, NAMES)
    assert part.tensors.keys() == set(NAMES) and not part.left_out


def test_a_network_may_have_a_prefix_that_the_file_lacks() -> None:
    wrapped = [f"model.net.{name}" for name in NAMES]
    [part] = fitting(WeightSet("", tensors("module.")), wrapped, wrapped)
    assert set(part.tensors) == set(wrapped)


def test_each_prefix_with_all_names_is_one_set() -> None:
    both = WeightSet("x", {**tensors("a."), **tensors("b.", 2), "b.more": torch.ones(1)})
    [part] = fitting(both, NAMES, NAMES)
    assert part.place == "x, a." and part.left_out[0] == "b.conv.weight"


@pytest.mark.parametrize(
    ("place", "averaged"),
    [("state_dict_ema", True), ("ema", True), ("ema.module, module.", True),
     ("x, ema_model.", True), ("swa", True), ("state_dict", False),
     ("schema", False), ("", False)],
)  # fmt: skip
def test_averages_are_known_by_their_names(place: str, averaged: bool) -> None:
    assert WeightSet(place, {}).is_averaged == averaged


def test_the_nearest_set_is_without_its_prefix() -> None:
    few = {f"model.{name}": torch.ones(1) for name in NAMES[:2]}
    optimizer = {str(i): torch.ones(1) for i in range(9)}
    found = nearest(sets_in({"optimizer": optimizer, "state": few}), NAMES)
    assert list(found.tensors) == list(NAMES[:2])


def test_a_common_prefix_ends_with_a_dot() -> None:
    assert common_prefix(["a.b.x", "a.b.xy"]) == "a.b."
    assert common_prefix(["ab", "ac"]) == "" and common_prefix([]) == ""


def test_a_file_that_contains_itself_has_an_end() -> None:
    content: dict[str, object] = {"w": torch.ones(1)}
    content["self"] = content
    assert 1 <= len(sets_in(content)) < 10


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
