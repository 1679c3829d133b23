from importlib.util import find_spec
from pathlib import Path

import pytest

from slimtune.cli.main import main


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
@pytest.mark.parametrize("how", [["--log-to", "wandb"], ["--set", "log_to=[wandb]"]])
def test_without_the_package_the_search_says_how_to_get_it(
    how: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["search", "--preset", "demo", *how, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "log_to: wandb needs the package wandb" in error and "pip install wandb" in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not out.exists()
