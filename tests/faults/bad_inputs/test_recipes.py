"""Recipes that cannot be carried out: one line with rule, value and way out, nothing written."""

from pathlib import Path

import pytest

from slimtune.cli.main import main

SMALL = ["--model", "resnet8", "--data", "digits"]


def refused(recipe: str, folder: Path, *more: str) -> int:
    file = folder / "r.yaml"
    file.write_text(recipe)
    return main(["compress", "--recipe", str(file), *SMALL, *more, "-o", str(folder / "out")])


@pytest.mark.parametrize(
    ("recipe", "place", "rule"),
    [
        ("quantize: {method: apot, bits: 8}", ":1", "quantize.bits: "),
        ("quantize: {method: gpfq, bits: 1}", ":1", "must be greater than or equal to 2"),
        ("quantize: {method: rtn, bits: 9}", ":1", "must be less than or equal to 8"),
        ("quantize: {method: dorefa, bits: 8}", ":1", "quantize.bits: "),
        ("quantize: {method: lsq, stage_bits: 8-x}", ":1", "quantize.stage_bits: "),
        ("distill: dkd\ntrain: {label_smoothing: 0.1}", "", "needs hard labels"),
        ("order: spq\nquantize: gpfq", "", "spq trains the quantized network"),
        ("prune: {method: n_m, schedule: soft}", "", "use one_shot or incremental"),
        ("prune: {method: n_m, n: 4, m: 2}", ":1", "n must be below m, but got 4 of 2"),
        ("student: {model: baseline, weights: w.th}", "", "name another student.model"),
        ("student: resnet9", "", "student.model: unknown model 'resnet9'"),
        ("student: {model: resnet8, weights: nowhere.th}", "", "nowhere.th"),
        ("train: {optimizer: lion}", ":1", "must be 'sgd', 'adamw' or 'shampoo'"),
    ],
)
def test_a_recipe_that_breaks_a_rule_is_refused(
    tmp_path: Path, recipe: str, place: str, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(recipe, tmp_path) == 2
    error = capsys.readouterr().err
    assert rule in error and place in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_stage_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused("prune: l1", tmp_path, "--from-stage", str(tmp_path)) == 2
    assert "holds no saved stage" in capsys.readouterr().err


def test_weights_of_a_teacher_need_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused("distill: base", tmp_path, "--teacher-weights", "t.th") == 2
    assert "teacher_weights: the teacher's network is missing" in capsys.readouterr().err
