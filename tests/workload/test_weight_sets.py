import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slimtune.workload.weight_sets import WeightSet, common_prefix, fitting, nearest, sets_in

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
