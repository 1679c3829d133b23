import json
import shutil
from pathlib import Path

import pytest

import slimtune
from slimtune.cli.config.consent import check_consent, consent_to
from slimtune.cli.config.settings import search_config
from slimtune.cli.main import main
from slimtune.cli.screen.interrupted import resume_command
from slimtune.errors import ConfigError
from slimtune.results.store.sealed import seal
from slimtune.workload.own_code import is_allowed


def write(folder: Path, text: str) -> Path:
    path = folder / "cfg.yaml"
    path.write_text(text)
    return path


def test_what_is_typed_may_run() -> None:
    search_config({"model": "a.py:make"}, ["data=b.py:load", "space.student.model=[c.py:net]"])
    assert all(map(is_allowed, ("a.py:make", "b.py:load", "c.py:net")))
    assert not is_allowed("a.py:other")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("trials: 3\nmodel: a:b\n", 2, "model"),
        ("data: a.py:b\n", 1, "data"),
        ("objectives: [accuracy,\n  a.py:b:maximize]\n", 2, "objectives.1"),
        ("space:\n  student:\n    model: [baseline, a.py:b]\n", 3, "space.student.model"),
        ("start:\n- student: {model: a.py:b}\n", 2, "start.0.student.model"),
    ],
)
def test_what_a_file_says_may_not(tmp_path: Path, text: str, line: int, key: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        search_config({}, [], file=file)
    assert str(caught.value).startswith(f"{file}:{line}: {key}: code reference 'a")
    assert str(caught.value).endswith("in a config needs --allow-code.")


def test_typed_as_well_a_reference_in_a_file_may_run(tmp_path: Path) -> None:
    search_config({"model": "a.py:b"}, [], file=write(tmp_path, "model: a.py:b\n"))


def test_a_typing_error_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'torchvision:resnet18'"):
        check_consent({"model": "torchvison:resnet18"}, tmp_path / "c.yaml", {"model": 1})


def test_the_option_allows_all_and_consent_ends_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "model: a.py:b\n")
    assert main(["search", "-c", str(file), "--print-config"]) == 2
    assert main(["search", "-c", str(file), "--print-config", "--allow-code"]) == 0
    assert "a.py:b" in capsys.readouterr().out
    assert not is_allowed("a.py:b")


def test_other_settings_are_no_code() -> None:
    consent_to({"model": "torchvision:resnet18", "data": "folder:x"})
    assert not is_allowed("torchvision:resnet18") and not is_allowed("folder:x")


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--print-config"], ["--out", "new"]])
def test_a_cluster_that_a_config_names_is_not_connected_to_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    file = write(tmp_path, "model: resnet8\ndata: digits\nray_address: 127.0.0.1:1\n")
    assert main(["search", "-c", str(file), *more]) == 2
    error = capsys.readouterr().err
    assert "ray_address: '127.0.0.1:1' in a config or a stored run needs --allow-code" in error
    assert error.count("\n") == 1


def test_typed_allowed_or_unused_it_is_no_matter(tmp_path: Path) -> None:
    file = write(tmp_path, "model: resnet8\ndata: digits\nray_address: 127.0.0.1:1\n")
    asked = ["search", "-c", str(file), "--print-config"]
    typed = ["--ray-address", "127.0.0.1:1"]
    for more in (typed, ["--set", "ray_address=127.0.0.1:1"], ["--allow-code"], ["--no-ray"]):
        assert main([*asked, *more]) == 0
    assert main([*asked, "--set", "ray_address=null"]) == 0


def test_a_cluster_that_a_run_names_is_not_connected_to_unasked(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    manifest = json.loads((run / "run.json").read_text())
    manifest["config"] |= {"executor": "ray", "ray_address": "127.0.0.1:1"}
    (run / "run.json").write_bytes(seal(manifest))
    assert main(["search", "--resume", str(run)]) == 2
    assert "stored run needs --allow-code" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="stored run needs"):
        slimtune.search(out=run, resume=True)
    assert resume_command(run).endswith(" --allow-code")
