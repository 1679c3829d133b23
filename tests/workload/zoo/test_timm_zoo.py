import sys

import pytest
import torch

from slimtune.errors import ModelError, UnknownNameError
from slimtune.workload.zoo.timm_zoo import timm_model


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"needs the timm extra: pip install 'slimtune\[timm\]'"):
        timm_model("resnet18", 3, 1)


def test_a_network_of_timm_is_built_for_the_data() -> None:
    pytest.importorskip("timm")
    network = timm_model("mobilenetv3_small_050", 3, 1)
    assert network.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 3)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UnknownNameError, match="Did you mean 'mobilenetv3_small_050'"):
        timm_model("mobilenetv3_smal_050", 3, 1)
