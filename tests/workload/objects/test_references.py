import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from slimtune.errors import ConfigError
from slimtune.workload.objects.references import importable_name, kept_reference
from slimtune.workload.own_code import (
    code_digest,
    is_allowed,
    load_code,
    local_modules,
    object_key,
)


def named_here() -> None: ...


def test_what_can_be_imported_is_named_by_that() -> None:
    assert importable_name(nn.Linear) == "torch.nn.modules.linear:Linear"
    found = importable_name(torchvision.models.resnet18)
    assert found == "torchvision.models.resnet:resnet18"
    assert importable_name(named_here) == f"{__name__}:named_here"


def test_what_cannot_be_imported_has_no_such_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def local() -> None: ...

    assert importable_name(local) is None
    assert importable_name(lambda: 1) is None
    assert importable_name(3) is None
    monkeypatch.setattr(named_here, "__module__", "__main__")
    assert importable_name(named_here) is None


def test_a_module_that_python_would_not_find_is_no_way_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hidden_away.py").write_text("def make(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    make = __import__("hidden_away").make
    assert importable_name(make) == "hidden_away:make"
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    assert importable_name(make) is None


def test_a_kept_object_is_found_by_its_name_and_needs_no_consent() -> None:
    thing = object()
    reference = kept_reference("data", "my <odd> name", [1, 2], thing)
    assert object_key(reference) == "data" and reference.endswith(":my__odd__name")
    assert is_allowed(reference) and load_code(reference) is thing
    assert kept_reference("data", "my <odd> name", [1, 2], thing) == reference
    assert kept_reference("data", "my <odd> name", [1, 3], thing) != reference
    assert code_digest(reference) != code_digest(reference.replace(":my", ":yours"))


def test_a_lost_object_says_how_to_hand_it_in_again() -> None:
    with pytest.raises(ConfigError, match=r"st.search\(..., resume=True, model=...\)"):
        load_code("object.model_0123456789ab:Net")
    with pytest.raises(ConfigError, match=r"resume=True, data=.* FILE.py:NAME"):
        load_code("object.data_0123456789ab:arrays")


def test_files_of_the_users_classes_go_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_layers.py").write_text("from torch import nn\nclass Mine(nn.Linear): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    network = nn.Sequential(__import__("own_layers").Mine(2, 2))
    reference = kept_reference("model", "Net", network, network)
    assert [module.__name__ for module in local_modules(reference)] == ["own_layers"]
    before = code_digest(reference)
    (tmp_path / "own_layers.py").write_text("# changed\n")
    assert code_digest(reference) != before
    assert torch.is_tensor(network[0].weight)
