from pathlib import Path

import pytest

import slimtune as st
from slimtune.api.compressing import CompressedModel
from slimtune.errors import UserError


def test_compare_has_a_row_a_model_and_evaluate_the_same_numbers(
    made: CompressedModel, weights: Path
) -> None:
    table = st.compare([f"resnet8={weights}", made.path], data="digits")
    assert table["model"].tolist() == [f"resnet8={weights}", str(made.path)]
    assert table["params"].is_monotonic_decreasing
    assert table["test_accuracy"].between(0, 1).all()
    measured = st.evaluate(made.path / "model.onnx", data="digits")
    assert measured["test_accuracy"] == table["test_accuracy"].iloc[1]
    assert measured["size_bytes"] == table["size_bytes"].iloc[1]
    checkpoint = st.evaluate(model="resnet8", weights=weights, data="digits")
    assert checkpoint["test_accuracy"] == table["test_accuracy"].iloc[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give an ONNX file, or model, weights and data"),
        ({"file": "a.onnx", "model": "resnet8"}, "not both"),
        ({"file": "a.onnx", "data": "digits", "run": "b"}, "give data or run, not both"),
        ({"file": "nowhere/a.onnx"}, "is in no run folder"),
    ],
)
def test_evaluate_says_what_is_missing(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        st.evaluate(**arguments)
    with pytest.raises(UserError, match="not both"):
        st.compare(["a.onnx"], data="digits", run="b")
