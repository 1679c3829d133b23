"""Wrong words on the command line: one line, exit code 2, nothing written."""

from pathlib import Path

import pytest

from slimtune.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["serach"], "No such command 'serach'. Did you mean 'search'?"),
        (["search", "--trails", "5"], "No such option '--trails'. Did you mean '--trials'?"),
        (["--quite", "search"], "No such option '--quite'. Did you mean '--quiet'?"),
        (["search", "--trials", "0"], "Invalid value for '--trials': '0' is no number of trials"),
        (["search", "--trials", "abc"], "'abc' is no number of trials; give 1 or more"),
        (["search", "--seed", "-1"], "-1 is not in the range x>=0"),
        (["search", "--concurrency", "0"], "0 is not in the range x>=1"),
        (["search", "--epochs", "-1"], "-1 is not in the range x>=0"),
        (
            ["search", "--validation-source", "tset"],
            "'tset' is not one of 'auto', 'train', 'test'",
        ),
        (["search", "--model"], "Option '--model' requires an argument"),
        (["search", "digits"], "Got unexpected extra argument (digits)"),
        (["search", "--preset", "dmo"], "unknown preset 'dmo'. Did you mean 'demo'?"),
        (["search", "--model", "resnt20", "--data", "digits"], "Did you mean 'resnet20'?"),
        (["search", "--model", "torchvision:resnt18", "--data", "digits"], "'resnet18'?"),
        (["search", "--model", "timmy:x", "--data", "digits"], "unknown model family"),
        (["search", "--data", "didgits"], "unknown dataset 'didgits'. Did you mean 'digits'?"),
        (["search", "--data", "digits:x"], "takes nothing after its name"),
        (["search", "--final-epochs", "2"], "final.epochs: must be at least 3, the search's own"),
        (["search", "--epochs", "9", "--final-epochs", "4"], "must be at least 9"),
        (["search", "--final-epochs", "0"], "0 is not in the range x>=1"),
        (["search", "--final-epochs", "many"], "'many' is not a valid integer"),
        (["search", "--repeats", "0"], "0 is not in the range x>=1"),
        (["search", "--repeats", "1000"], "final.repeats: must be less than or equal to 100"),
        (["search", "--preset", "pruning-kd", "--repeats", "2"], "final: a grid with seeds"),
        (["search", "--set", "final.epoch=9"], "Did you mean 'epochs'?"),
        (["search", "--set", "final=30"], "final: must be"),
        (["search", "--objective", "accuracy"], "give at least 2"),
        (["search", "--objective", "accuracy", "--objective", "accuracy"], "each one once"),
        (["search", "--objective", "accuracy", "--objective", "acuracy"], "Did you mean"),
        (["search", "--set", "trials"], "--set needs KEY=VALUE"),
        (["search", "--set", "a..b=1"], "'a..b' is not a setting"),
        (["search", "--set", "trails=4"], "unknown key 'trails'. Did you mean 'trials'?"),
        (["search", "--set", "trials=1", "--set", "trials.x=4"], "'trials' is a value"),
        (["search", "--set", "seed=[1"], "--set seed:1:3: expected ',' or ']'"),
        (["search", "--set", "seed=.nan"], "must be a finite number"),
        (["search", "--set", "seed=!!python/name:os.system"], "is not allowed in a config"),
        (["search", "--set", "space.prune.method=[l1, taylr]"], "unknown method 'taylr'"),
        (["search", "--set", "space.prune.method=[]"], "give at least one method"),
        (["search", "--set", "space.prune.amount=[0.9, 0.1]"], "low 0.9 is above high 0.1"),
        (["search", "--set", "space.prune.amount=[0.1, 1.0]"], "must be less than 1"),
        (["search", "--set", "space.prune.amount=-0.1"], "must be greater than or equal to 0"),
        (["search", "--set", "space.distill.temperature=0"], "must be greater than 0"),
        (["search", "--set", "space.distill.alpha=[0.5, 1.5]"], "must be less than or equal to 1"),
        (["search", "--set", "space.distill.alhpa=0.5"], "Did you mean 'alpha'?"),
        (["search", "--set", "space.purne.amount=0.5"], "Did you mean 'prune'?"),
        (["search", "--set", "space.train.epochs=many"], "space.train.epochs: must be"),
        (["search", "--set", "space=5"], "space: must be"),
    ],
)
def test_a_wrong_word_is_one_line_and_writes_nothing(
    tmp_path: Path, arguments: list[str], rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    at_the_end = (
        ["--out", str(out)] if "search" in arguments and arguments[-1] != "--model" else []
    )
    assert main([*arguments, *at_the_end]) == 2
    captured = capsys.readouterr()
    assert rule in captured.err
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not out.exists()


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "dangling link"])
def test_an_out_that_exists_is_refused_and_left_alone(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    if kind == "file":
        out.write_text("mine")
    elif kind == "dangling link":
        out.symlink_to(tmp_path / "nowhere")
    else:
        out.mkdir()
    if kind == "folder":
        (out / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["search", "--preset", "demo", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{out} already exists" in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
