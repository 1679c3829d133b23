import json

import pytest

from slimtune.cli.main import main


def test_the_list_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    captured = capsys.readouterr()
    kinds = [line for line in captured.out.splitlines() if line.endswith(":")]
    assert kinds == [
        "stage:", "pruning:", "quantization:", "distillation:", "model:", "data:", "preset:"
    ]  # fmt: skip
    assert captured.err == ""


def test_a_name_is_shown_with_its_reference_and_its_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["methods", "base"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("base (distillation)\n")
    assert "Hinton et al., 2015" in out
    assert "temperature (float; > 0, ≤ 100; default 4.0)" in out


def test_a_name_that_two_kinds_have_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "methods", "none"]) == 0
    kinds = [entry["kind"] for entry in json.loads(capsys.readouterr().out)]
    assert kinds == ["quantization", "distillation"]


def test_an_unknown_name_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "fpgn"]) == 2
    assert "unknown name 'fpgn'. Did you mean 'fpgm'?" in capsys.readouterr().err
