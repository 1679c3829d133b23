from pathlib import Path

import pytest

from slimtune.errors import RunError
from slimtune.results.store.folder import RunFolder
from slimtune.search.settings.config import make_config
from slimtune.search.settings.recorded import run_config


def folder_with(path: Path, config: dict[str, object]) -> RunFolder:
    manifest = {"config": config, "workload": {"fingerprint": "0" * 64}}
    point = {"accuracy": 0.0, "size_bytes": 1e6}
    return RunFolder.create(
        path, {**manifest, "objectives": list(point), "reference_point": point}
    )


def test_the_settings_of_a_run_come_back_as_they_were(tmp_path: Path) -> None:
    config = make_config({"data": "digits", "trials": 3})
    assert run_config(folder_with(tmp_path / "a", config.model_dump(mode="json"))) == config


def test_settings_of_another_version_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a/run.json: .*written by another version"):
        run_config(folder_with(tmp_path / "a", {"data": "digits", "warp_speed": 9}))
