from pathlib import Path

import pytest

from slimtune.errors import ConfigError
from slimtune.search.settings.config import make_config
from slimtune.search.settings.references import (
    anchored_data,
    anchored_metric,
    anchored_networks,
    check_address,
    code_in,
)
from slimtune.workload.own_code import allow_all_code


def test_files_and_folders_hold_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    assert anchored_data("folder:d@size=4") == f"folder:{tmp_path}/d@size=4"
    assert anchored_data("folder:gone") == "folder:gone"
    assert anchored_data("./d.py:load@channels=1") == f"{tmp_path}/d.py:load@channels=1"
    assert anchored_data("torchvision:MNIST") == "torchvision:MNIST"
    assert anchored_metric("m.py:f1:maximize") == f"{tmp_path}/m.py:f1:maximize"
    assert anchored_metric("accuracy") == "accuracy"
    assert anchored_networks(["baseline", "n.py:Net"]) == ["baseline", f"{tmp_path}/n.py:Net"]


def test_all_code_of_a_search_is_found_by_its_setting() -> None:
    settings = {
        "model": "n.py:a",
        "teacher": "torchvision:resnet18",
        "data": "pkg.data:load@size=8",
        "objectives": ["accuracy", "m.py:f1:maximize"],
        "space": {"student": {"model": ["baseline", "n.py:b"]}},
        "start": [{"student": {"model": "n.py:c"}}],
        "student": {"model": "n.py:d"},
    }
    assert dict(code_in(settings)) == {
        "model": "n.py:a",
        "data": "pkg.data:load",
        "objectives.1": "m.py:f1",
        "space.student.model": "n.py:b",
        "start.0.student.model": "n.py:c",
        "student.model": "n.py:d",
    }


@pytest.mark.parametrize("wrong", [{"model": 3}, {"space": 3}, {"start": "auto"}, {"data": None}])
def test_settings_of_a_wrong_type_name_no_code(wrong: dict[str, object]) -> None:
    assert list(code_in(wrong)) == []


def test_a_config_is_anchored_wherever_it_names_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config(
        {
            "model": "n.py:a",
            "teacher": "n.py:t",
            "objectives": ["m.py:f1:maximize", "size_bytes"],
            "space": {"student": {"model": ["baseline", "n.py:b"]}},
        }
    ).anchored()
    for _, reference in code_in(config.model_dump()):
        assert reference.startswith(str(tmp_path))
    assert config.objectives == (f"{tmp_path}/m.py:f1:maximize", "size_bytes")


def test_a_cluster_that_only_a_file_names_is_not_connected_to() -> None:
    for typed in ({}, {"ray_address": None}, {"ray_address": "other:1"}):
        with pytest.raises(ConfigError, match="ray_address: '10.0.0.1:6379' in a config or a sto"):
            check_address("10.0.0.1:6379", typed)
    check_address("10.0.0.1:6379", {"ray_address": "10.0.0.1:6379"})
    check_address(None, {})
    allow_all_code()
    check_address("10.0.0.1:6379", {})
