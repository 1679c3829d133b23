import io
import shutil
import sys
from pathlib import Path

import pytest

from slimtune.cli.main import main

ARGUMENTS = [
    "-q", "search", "--model", "resnet8", "--data", "digits", "--no-ray", "--trials", "1",
    "--epochs", "1", "--set", "baseline.epochs=1", "--set", "space.prune.method=l1",
    "--set", "space.prune.amount=0.5",
]  # fmt: skip


# Logits over such a temperature are infinite, and the loss is no number.
FAILING = ["--set", "distill.method=base", "--set", "distill.temperature=1e-300"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    assert main([*ARGUMENTS, "--out", str(out)]) == 0
    return out


def files(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_a_repeated_trial_is_identical_bit_for_bit_and_the_run_is_not_touched(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(run)
    assert main(["rerun", str(run), "--trial", "0", "--check"]) == 0
    out = capsys.readouterr().out
    verdicts = {line.split()[0]: line.split()[1] for line in out.splitlines() if "sha256" in line}
    assert verdicts["model.onnx"] == verdicts["model.safetensors"] == "identical"
    assert set(verdicts.values()) == {"identical"}
    assert files(run) == before


def test_a_file_that_differs_is_told_and_gives_exit_code_1(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run / "trials" / "0000" / "result.json"
    original = result.read_text()
    recorded = original.split('"model.onnx": "')[1][:64]
    try:
        result.write_text(original.replace(recorded, "0" * 64))
        assert main(["rerun", str(run), "--trial", "0", "--check"]) == 1
    finally:
        result.write_text(original)
    lines = capsys.readouterr().out.splitlines()
    [different] = [line for line in lines if "DIFFERENT" in line]
    assert different.split()[0] == "model.onnx"
    assert "0" * 64 in different and recorded in different


def test_a_changed_recipe_is_compared_with_the_recorded_objectives(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(run), "--trial", "0", "--set", "prune.amount=0"]) == 0
    [size] = [line for line in capsys.readouterr().out.splitlines() if "size_bytes" in line]
    assert size.split()[-1] == "differs"


def test_a_failing_trial_shows_its_traceback_and_gives_exit_code_1(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(run), "--trial", "0", *FAILING]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("error: trial 0 failed: ")


def test_pdb_stops_where_the_trial_fails(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("where\np 6 * 7\nquit\n"))
    assert main(["rerun", str(run), "--trial", "0", "--pdb", *FAILING]) == 1
    typed = capsys.readouterr().out
    assert "(Pdb) 42" in typed
    assert "train_network" in typed


@pytest.mark.parametrize(
    ("arguments", "code", "rule"),
    [
        (["--trial", "9"], 2, "trial 9 does not exist (0-0)"),
        (["--trial", "0", "--set", "prune.amount=1"], 2, "prune.amount: must be less than 1"),
        (["--trial", "0", "--set", "prune.amuont=0.1"], 2, "Did you mean 'amount'?"),
        (["--trial", "0", "--pdb", "--set", "prune.method=fpgn"], 2, "Did you mean 'fpgm'?"),
        (["--trial", "0", "--check", "--set", "prune.amount=0"], 2, "it takes no --set"),
        ([], 2, "Missing option '--trial'"),
    ],
)
def test_what_cannot_be_repeated_is_one_line(
    run: Path, arguments: list[str], code: int, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(run), *arguments]) == code
    error = capsys.readouterr().err
    assert rule in error
    assert error.count("\n") == 1


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(tmp_path), "--trial", "0"]) == 5
    assert "is not a slimtune run" in capsys.readouterr().err


def test_a_trial_from_a_device_that_is_not_here_runs_on_the_cpu_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = shutil.copytree(run, tmp_path / "far")
    for name in ("spec.json", "result.json"):
        file = far / "trials" / "0000" / name
        file.write_text(file.read_text().replace('"device": "cpu"', '"device": "cuda:99"'))
    assert main(["rerun", str(far), "--trial", "0"]) == 0
    assert "trained on cuda:99, which is not here: it runs on the CPU" in capsys.readouterr().err
    assert main(["rerun", str(far), "--trial", "0", "--check"]) == 2
    error = capsys.readouterr().err
    assert "cuda:99, which is not here, and another device gives other bits" in error
    assert error.count("\n") == 1
