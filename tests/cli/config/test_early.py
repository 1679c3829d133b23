import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slimtune.cli.config.early import check_early
from slimtune.errors import ConfigError
from slimtune.workload.own_code import allow_all_code

NOTHING: dict[str, Any] = dict.fromkeys(("model", "teacher", "data"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    manifest = {"workload": {"code": {str(tmp_path / "net.py:make"): "abc"}}}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    return tmp_path


def test_a_file_is_refused_by_its_line_as_it_is_later(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("trials: 3\nteacher: net.py:make\n")
    with pytest.raises(ConfigError, match=r"c.yaml:2: teacher: code reference 'net.py:make' in a"):
        check_early(file, None, NOTHING)
    check_early(file, None, {**NOTHING, "teacher": "resnet8"})
    check_early(file, None, {**NOTHING, "assignments": ("teacher=resnet8",)})
    allow_all_code()
    check_early(file, None, NOTHING)


def test_what_may_be_something_else_is_left_to_the_later_check(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("model: torchvision:resnet18\ndata: folder:d.py\nteacher: 3\n")
    check_early(file, None, NOTHING)
    check_early(None, tmp_path / "no run", NOTHING)
    (tmp_path / "run.json").write_text('{"workload": 3}')
    check_early(None, tmp_path, NOTHING)


def test_a_run_is_refused_unless_its_code_is_typed_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="net.py:make' in a config or a stored run needs --allo"):
        check_early(None, run, NOTHING)
    monkeypatch.chdir(run)
    check_early(None, run, {**NOTHING, "model": "./net.py:make"})
    allow_all_code()
    check_early(None, run, NOTHING)


@pytest.mark.parametrize("given", [["--resume", "."], ["--out", ".", "--resume"]])
def test_it_is_said_before_anything_heavy_is_imported(run: Path, given: list[str]) -> None:
    code = (
        "import sys; from slimtune.cli.main import main;"
        f"sys.exit(main(['search', *{given!r}]) + 10 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=run, capture_output=True, text=True)
    assert done.returncode == 2 and "needs --allow-code" in done.stderr
