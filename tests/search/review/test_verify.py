import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from slimtune.cli.main import main
from slimtune.errors import UserError
from slimtune.results.run import Run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.sealed import seal
from slimtune.search.review.verify import verify_export
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.final import FinalSettings


@pytest.fixture(scope="module")
def run(digits_config: SearchConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    space = {"train": {"epochs": 1}, "quantize": {"method": "rtn", "activation_bits": 32}}
    config = digits_config.model_copy(update={"trials": 1, "space": space})
    return run_search(config, tmp_path_factory.mktemp("runs") / "a")


def test_what_was_exported_measures_as_recorded(run: Run, tmp_path: Path) -> None:
    folder = run.trial(0).export(tmp_path / "deploy")
    checks = verify_export(run.folder, 0, folder)
    assert [c.what for c in checks] == ["validation accuracy", "test accuracy", "torch module"]
    assert all(c.kept for c in checks) and checks[0].found == checks[0].expected
    alone = run.trial(0).export(tmp_path / "onnx", formats=["onnx"])
    assert len(verify_export(run.folder, 0, alone)) == 2


def test_a_final_is_held_to_its_own_record_and_not_to_its_trials(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {"prune": {"method": "l1", "amount": 0.7}, "train": {"epochs": 1}}
    update = {
        "trials": 1,
        "space": space,
        "start": "none",
        "final": FinalSettings(repeats=1),
        "baseline": digits_config.baseline.model_copy(update={"epochs": 2}),
    }
    run = run_search(digits_config.model_copy(update=update), tmp_path / "run")
    final, trial = run.trial(0).record, run.records[0]
    assert final.objectives["accuracy"] != trial.objectives["accuracy"]  # else this tests nothing
    checks = verify_export(run.folder, 0, run.trial(0).export(tmp_path / "deploy"))
    assert all(check.kept for check in checks)
    assert checks[0].expected == f"{final.objectives['accuracy']:.4f}"


def test_another_model_in_the_folder_is_told(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    record = copy / "trials" / "0000" / "result.json"
    accuracy = run.records[0].objectives["accuracy"]
    assert str(accuracy) in record.read_text()
    changed = json.loads(record.read_text().replace(str(accuracy), "0.123"))
    record.write_bytes(seal(changed))
    checks = verify_export(RunFolder.open(copy), 0, run.trial(0).export(tmp_path / "deploy"))
    assert [c.kept for c in checks] == [False, True, True]
    arguments = ["export", str(copy), "--trial", "0", "--verify", "-o", str(tmp_path / "out")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "validation accuracy" in error and "(recorded 0.1230): DIFFERENT" in error
    assert error.splitlines()[-1].startswith("error: 1 of the exported measurements differ")
    assert main([*arguments[:1], str(run.path), *arguments[2:-1], str(tmp_path / "ok")]) == 0
    assert capsys.readouterr().err.count(": ok") == 3


def damaged(folder: Path) -> Path:
    """Return an export whose torch module has logits a twentieth larger than it had."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    *_, last = [name for name, tensor in weights.items() if tensor.ndim == 2]
    save_file({**weights, last: weights[last] * 1.05}, file)
    return folder


def test_a_torch_module_alone_is_held_against_the_file_in_the_run(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run.trial(0).export(tmp_path / "torch", formats=["torch"])
    assert [(c.what, c.kept) for c in verify_export(run.folder, 0, folder)] == [
        ("torch module", True)
    ]
    assert [c.kept for c in verify_export(run.folder, 0, damaged(folder))] == [False]
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    (copy / "trials" / "0000" / "model.onnx").unlink()
    with pytest.raises(UserError, match="model.onnx is gone.* export without --verify"):
        verify_export(RunFolder.open(copy), 0, folder)
    arguments = ["export", str(run.path), "--trial", "0", "--format", "torch", "--verify", "-o"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert "torch module same class on 100%: ok" in capsys.readouterr().err


def test_weights_alone_in_few_bits_are_held_to_the_rule_of_float_files(
    run: Run, tmp_path: Path
) -> None:
    assert run.records[0].recipe["quantize"]["method"] == "rtn"
    checks = verify_export(run.folder, 0, damaged(run.trial(0).export(tmp_path / "deploy")))
    assert [c.kept for c in checks] == [True, True, False]
    assert "a float file must match its network" in checks[2].found
