import pytest

from slimtune.compression.left_out import LeftOut
from slimtune.errors import TrialError


def test_the_share_and_the_largest_layers_are_told() -> None:
    left = LeftOut({"a.weight": 5, "b.weight": 20, "c": 1, "d.weight": 4}, 100)
    assert left.share == pytest.approx(0.3)
    assert left.names == "b, a, d and 1 more"
    assert left.described("lsq 4b") == "lsq 4b (30% float32)"
    assert left.checked(4, "lsq") is left


def test_nothing_left_out_says_nothing() -> None:
    assert LeftOut().share == 0 and LeftOut().names == ""
    assert LeftOut({"a": 1}, 1000).described("lsq 4b") == "lsq 4b"


def test_nearly_all_left_out_is_refused_unless_nothing_was_asked() -> None:
    left = LeftOut({"conv1.weight": 95}, 100)
    with pytest.raises(TrialError, match=r"lsq must .* leaves 95% .*\(conv1\).*use rtn"):
        left.checked(4, "lsq")
    assert left.checked(32, "none").share == 0
