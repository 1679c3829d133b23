import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.results.store.sealed import seal

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
        result.write_bytes(seal(json.loads(original.replace(recorded, "0" * 64))))
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
    [size] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("size")]
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
        (["--trial", "0", "--pdb", "--ray"], 2, "leave --ray out"),
        (["--trial", "0", "--from-stage", "export"], 2, "is not one of 'train', 'quantize'"),
        (["--trial", "0", "--from-stage", "train"], 2, "possible is --from-stage quantize"),
        (
            ["--trial", "0", "--from-stage", "quantize", "--set", "prune.amount=0.25"],
            2,
            "prune.amount: is 0.25 here, but",
        ),
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


def test_a_trial_begins_with_the_stage_that_the_run_kept(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(run)
    assert main(["rerun", str(run), "--trial", "0", "--from-stage", "quantize", "--check"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("identical") == 4 and captured.err == ""
    assert files(run) == before


def test_another_quantizer_may_follow_the_kept_stage(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = ["--set", "quantize.method=rtn", "--set", "quantize.bits=2"]
    assert main(["rerun", str(run), "--trial", "0", "--from-stage", "quantize", *change]) == 0
    [size] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("size")]
    assert size.split()[-1] == "differs"


@pytest.fixture
def failed(run: Path, tmp_path: Path) -> Path:
    """The run, as if its trial had failed in the search, on a cluster that is gone."""
    copy = tmp_path / "failed"
    shutil.copytree(run, copy)
    result = copy / "trials" / "0000" / "result.json"
    record = json.loads(result.read_text())
    record |= {"status": "failed", "error": "the lights went out", "objectives": {}}
    result.write_bytes(seal(record))
    manifest = json.loads((copy / "run.json").read_text())
    manifest["config"] |= {"executor": "ray", "ray_address": "10.255.255.1:6379"}
    (copy / "run.json").write_bytes(seal(manifest))
    return copy


def test_a_failed_trial_runs_again_and_its_reason_is_told(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(failed), "--trial", "0", "--from-stage", "quantize"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "note: in the search, trial 0 failed: the lights went out\n"
    [accuracy] = [line for line in captured.out.splitlines() if "accuracy" in line]
    assert accuracy.split()[1] == "–"
    assert main(["rerun", str(failed), "--trial", "0", "--check"]) == 2
    assert "it has no files to compare with, leave --check out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_trial_runs_in_a_worker_of_this_machine_without_the_searchs_cluster(
    failed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    assert main(["rerun", str(failed), "--trial", "0", "--ray"]) == 0
    captured = capsys.readouterr()
    assert (
        "the search ran at 10.255.255.1:6379; this rerun uses a Ray on this machine"
        in captured.err
    )
    assert "accuracy" in captured.out


def test_a_final_is_repeated_by_its_name(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "a"
    shutil.copytree(run, copy)
    assert main(["-q", "search", "--resume", str(copy), "--final-epochs", "2"]) == 0
    assert "members: finals, of 2 epochs" in capsys.readouterr().out
    name = "0000-e2-r0"
    assert main(["rerun", str(copy), "--final", name, "--check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"final {name}") and "DIFFERENT" not in out
    assert main(["export", str(copy), "--pick", "knee", "-o", str(tmp_path / "d")]) == 0
    assert f"(final {name})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Give either --trial N or --final NAME."),
        (["--trial", "0", "--final", "0000-e2-r0"], "Give either --trial N or --final NAME."),
        (["--final", "17"], "a final has a name such as 0017-e30-r0"),
        (["--final", "0000-e9-r0"], "final 0000-e9-r0 does not exist (trial 0 has none)"),
    ],
)
def test_a_final_that_cannot_be_meant_is_refused_in_one_line(
    run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(run), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_stopped_trial_is_run_to_its_end_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    result = copy / "trials" / "0000" / "result.json"
    record = json.loads(result.read_text())
    record |= {"status": "stopped", "error": "structure: too large"}
    result.write_bytes(seal(record))
    assert main(["rerun", str(copy), "--trial", "0"]) == 0
    captured = capsys.readouterr()
    assert "trial 0 was stopped (structure: too large); here it runs to its end" in captured.err
    assert captured.out.count("not compared") == 3
    assert main(["rerun", str(copy), "--trial", "0", "--check"]) == 2
    assert (
        "was stopped: structure: too large; it has no files to compare with"
        in capsys.readouterr().err
    )


def test_a_trial_from_a_device_that_is_not_here_runs_on_the_cpu_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = shutil.copytree(run, tmp_path / "far")
    for name in ("spec.json", "result.json"):
        file = far / "trials" / "0000" / name
        file.write_bytes(seal({**json.loads(file.read_text()), "device": "cuda:99"}))
    assert main(["rerun", str(far), "--trial", "0"]) == 0
    assert (
        "trained on cuda:99, which this machine lacks: it runs on the CPU"
        in capsys.readouterr().err
    )
    assert main(["rerun", str(far), "--trial", "0", "--check"]) == 2
    error = capsys.readouterr().err
    assert "cuda:99, which this machine lacks, and another device gives other bits" in error
    assert error.count("\n") == 1
