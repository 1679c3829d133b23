import json
from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.cli.screen.dry_run import _cost_lines
from slimtune.search.forecast.estimate import Estimate, Sample
from slimtune.search.settings.config import make_config

SMALL = ["--model", "resnet8", "--data", "digits", "--trials", "2", "--epochs", "1", "--no-ray"]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["--set", "space.quantize.method=none", "--set", "space.distill.method=none"]
    assert main(["search", *SMALL, *quick, "--dry-run"]) == 0
    captured = capsys.readouterr()
    starts = [line.partition(" ")[0] for line in captured.out.splitlines()]
    assert starts == ["data", "search", "space", "first", "", "trial", "time", "disk", "nothing"]
    assert "continuous in train.lr; besides, " in captured.out
    assert "drawn recipes with 1 epoch per stage" in captured.out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_for_programs_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--set", "space.quantize.method=none", "--set", "space.distill.method=none"]
    assert main(["search", *SMALL, *quick, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"]["test"] == 539 and found["estimate"]["trials"] == 2
    assert found["space"]["continuous"] == ["train.lr"] and len(found["first"]) == 2
    assert found["estimate"]["search"] > found["estimate"]["samples"][0]["fixed"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "rule"),
    [
        (["--resume", "--out", "r"], 2, "--dry-run looks at a new search"),
        (["--data", "didgits"], 2, "Did you mean 'digits'?"),
        (["--model", "resnt20"], 2, "Did you mean 'resnet20'?"),
        (["--set", "space.prune.amount=1.0"], 2, "must be less than 1"),
        (["--out", "."], 2, "already exists"),
        (["--trials", "0"], 2, "'0' is no number of trials; give 1 or more"),
    ],
)
def test_what_the_search_would_refuse_is_refused(
    arguments: list[str],
    code: int,
    rule: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["search", *SMALL, *arguments, "--dry-run"]) == code
    captured = capsys.readouterr()
    assert rule in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_finals_and_a_device_that_is_not_here_are_told() -> None:
    cost = Estimate(
        trials=20, workers=1, samples=(Sample(1.0, 1.0, 3, 10),), images=9, of_images=9,
        trial=4.0, baseline=60.0, finals=60, final=7200.0, search=7500.0, device="cpu", size=10,
    )  # fmt: skip
    config = make_config({"final": {"epochs": 30, "repeats": 5}})
    told = "\n".join(_cost_lines(config, cost))
    assert "for the baseline and 2 h 0 min for 60 finals, of the 12 members that" in told
    assert "this machine" not in told
    on_gpu = make_config({"final": {"repeats": 5}, "per_trial": {"gpus": 0.5}})
    told = "\n".join(_cost_lines(on_gpu, cost))
    assert (
        "times are those of this machine's CPU: trials ask for cuda:0, which this machine lacks"
        in told
    )
