from pathlib import Path

import pytest
import torch
import yaml

import slimtune as st
from slimtune.api import CompressedModel
from slimtune.errors import UserError
from slimtune.search.forecast.doctor import Finding
from slimtune.search.listeners.events import BaselineMeasured
from slimtune.workload.checkpoints import save_weights
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build

RECIPE = {"prune": {"method": "l1", "amount": 0.5}, "train": {"epochs": 0}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(build(Architecture("resnet8", 10, 1)), file)
    return file


@pytest.fixture(scope="module")
def made(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> CompressedModel:
    out = tmp_path_factory.mktemp("made") / "small"
    settings = {"model": "resnet8", "weights": str(weights), "data": "digits"}
    return st.compress(RECIPE, out=out, quiet=True, **settings)


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
    with pytest.raises(UserError, match="Did you mean 'data'"):
        st.compress(RECIPE, out=made.path.with_name("b"), dat="digits")


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


def test_doctor_tells_on_standard_error_what_it_tries_and_returns_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # one technique stands for all: examine() has tests of its own, and takes a minute
    only = Finding("export", "ONNX file", True, "12 KiB")
    monkeypatch.setattr(
        "slimtune.search.forecast.checkup.examine", lambda workload, among=None: [only]
    )
    found = st.doctor(model="resnet8", data="digits", baseline={"epochs": 0})
    assert found.findings == [only] and found.command.startswith("slimtune search --model resnet8")
    captured = capsys.readouterr()
    assert captured.out == "" and "trying: export ONNX file" in captured.err


def test_search_shows_its_progress_and_is_silent_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    settings = {"model": "resnet8", "weights": str(weights), "data": "digits", "trials": 1}
    settings |= {"executor": "inline", "start": "none", "stopping": False}
    settings |= {"allow_weak_baseline": True}  # untrained
    settings |= {"space": {"prune": {"method": "l1"}, "quantize": {"method": "none"},
                           "distill": {"method": "none"},
                           "train": {"epochs": 0}}}  # fmt: skip
    run = st.search(out=tmp_path / "a", **settings)
    shown = capsys.readouterr()
    assert shown.out == ""
    for line in ("data      digits", "baseline  accuracy", "trial    0      1/1", "front     1 "):
        assert line in shown.err
    assert repr(run).startswith(f"<Run {tmp_path / 'a'}: 1 trial (1 complete)")
    st.search(out=tmp_path / "a", resume=True, quiet=True)
    assert capsys.readouterr().err == ""
    heard = []
    st.search(out=tmp_path / "a", resume=True, listener=heard.append)
    assert any(isinstance(event, BaselineMeasured) for event in heard)
    assert capsys.readouterr().err == ""


def test_every_function_has_its_help() -> None:
    for name in ("compress", "doctor", "compare", "evaluate"):
        assert f"``slimtune {name}``" in getattr(st, name).__doc__
        assert name in dir(st)
