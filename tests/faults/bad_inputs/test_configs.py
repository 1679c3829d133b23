"""Config files that break a rule, through the command line: file, line, rule, exit code 2."""

from pathlib import Path

import pytest

from slimtune.cli.main import main

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    ("content", "place", "rule"),
    [
        (b"trials: [3, 4: 5\nseed: 1\n", ":", "expected"),
        (b"seed: 1\ntrails: 5\n", ":2: ", "unknown key 'trails'. Did you mean 'trials'?"),
        (b"trials: 5\nseed: 0\ntrials: 6\n", ":3:1: ", "(first set on line 1)"),
        (b"seed: 0\n\n\ntrials: many\n", ":4: ", "trials: must be a valid integer"),
        (b"", ":1: ", "expected a mapping of settings, got nothing"),
        (b"- trials\n", ":1: ", "expected a mapping of settings, got list"),
        (b"a: !!python/object/apply:os.system [ls]\n", ":1:4: ", "is not allowed in a config"),
        (BOMB.encode(), ": ", "too large or too many aliases"),
        (b"#" * (2**20 + 1), ": ", "too large"),
        (b"seed: \xff\xfe\n", ": ", "is not UTF-8 text"),
        (b"a: \x00\n", ": ", "not valid YAML"),
        (b"baseline: {lr: .nan}\n", ":1:16: ", "must be a finite number"),
        (b"baseline:\n  epochs: -1\n", ":2: ", "must be greater than or equal to 0"),
        (b"seed: 1\nfinal:\n  epochs: 2\n", ":3: ", "must be at least 3, the search's own"),
        (b"final: {repeats: 0}\n", ":1: ", "must be greater than or equal to 1"),
        (b"trials: 0\n", ":1: ", "must be greater than or equal to 1"),
        (b"validation: {fraction: 1.0}\n", ":1: ", "must be less than 1"),
        (b"objectives: [accuracy, lat]\n", ": ", "unknown objective 'lat'"),
        (b"seed: 1\nobjectives: [accuracy]\n", ":2: ", "give at least 2"),
        (b"space:\n  prune:\n    method: [l1, taylr]\n", ":3: ", "unknown method 'taylr'"),
        (b"space:\n  prune:\n    method: []\n", ":3: ", "give at least one method"),
        (b"space:\n  prune:\n    amount: [0.9, 0.1]\n", ":3: ", "low 0.9 is above high 0.1"),
        (b"space:\n  prune: {amount: [0.1, 1.0]}\n", ":2: ", "must be less than 1"),
        (b"space:\n  distill:\n    temperature: [0, 4]\n", ":3: ", "must be greater than 0"),
        (b"space:\n  distill:\n    alpha: 1.5\n", ":3: ", "must be less than or equal to 1"),
        (b"space: {train: [1]}\n", ":1: ", "space.train: must be a mapping"),
        (b"seed: 1\nlog_to: [mlfow]\n", ":2: ", "'tensorboard', 'mlflow' or 'wandb'"),
        (b"log_to: tensorboard\n", ":1: ", "log_to: must be a valid tuple"),
    ],
)
def test_a_config_that_breaks_a_rule_is_named_with_its_place(
    tmp_path: Path,
    content: bytes,
    place: str,
    rule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, out = tmp_path / "cfg.yaml", tmp_path / "run"
    file.write_bytes(content)
    assert main(["search", "-c", str(file), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}{place}")
    assert rule in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_config_that_is_missing_or_a_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for path, rule in ((tmp_path / "x.yaml", "does not exist"), (tmp_path, "is a directory")):
        assert main(["search", "-c", str(path), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert rule in error and str(path) in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_a_tag_that_would_run_code_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, file = tmp_path / "ran", tmp_path / "cfg.yaml"
    file.write_text(f"model: !!python/object/apply:os.system ['touch {marker}']\n")
    assert main(["search", "-c", str(file), "--out", str(tmp_path / "run")]) == 2
    assert not marker.exists()
    assert "is not allowed in a config" in capsys.readouterr().err
