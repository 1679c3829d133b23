import pytest
import torch
import yaml

import slimtune as st
from slimtune.api.compressing import CompressedModel
from slimtune.errors import UserError
from tests.api.conftest import RECIPE


def test_compress_does_what_the_command_does(made: CompressedModel) -> None:
    written = {path.name for path in made.path.iterdir()}
    assert {"model.onnx", "model.safetensors", "recipe.yaml", "result.json"} <= written
    assert yaml.safe_load((made.path / "recipe.yaml").read_text())["prune"]["amount"] == 0.5
    assert made.record.objectives["size_bytes"] < made.baseline.objectives["size_bytes"]
    assert made.load()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert repr(made).startswith(f"<CompressedModel {made.path}: l1 50% (-75% MACs); accuracy ")
    assert len(repr(made)) < 400


def test_compress_refuses_before_anything_is_loaded(made: CompressedModel) -> None:
    with pytest.raises(UserError, match="already exists"):
        st.compress(RECIPE, out=made.path, model="resnet8", data="digits")
    with pytest.raises(UserError, match="Did you mean"):
        st.compress({"prune": {"method": "l11"}}, out=made.path.with_name("b"), data="digits")
    with pytest.raises(TypeError, match="unexpected keyword argument 'dat'"):
        st.compress(RECIPE, out=made.path.with_name("b"), dat="digits")
