import importlib
import sys

import pytest

from slimtune.errors import ConfigError
from slimtune.search.shipping import PACKAGE, modules_to_ship, runtime_env


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's folder: a model, a module and a package that it imports, and one it does not."""
    (tmp_path / "my_net.py").write_text("import my_parts\nimport my_blocks.res\n")
    (tmp_path / "my_parts.py").write_text("")
    (tmp_path / "my_blocks").mkdir()
    (tmp_path / "my_blocks" / "__init__.py").write_text("")
    (tmp_path / "my_blocks" / "res.py").write_text("")
    (tmp_path / "my_other.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("my_net")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def test_this_package_always_travels_without_its_caches():
    assert modules_to_ship() == [str(PACKAGE)]
    assert (PACKAGE / "search" / "shipping.py").is_file()
    assert "**/__pycache__" in runtime_env()["excludes"]


def test_a_users_file_travels_with_what_it_imports_from_beside_it(user):
    shipped = modules_to_ship([user / "my_net.py"])
    names = ["my_blocks", "my_net.py", "my_parts.py"]
    assert sorted(shipped) == sorted([str(PACKAGE), *(str(user / name) for name in names)])


def test_nothing_travels_twice(user):
    files = [user / "my_net.py", user / "my_parts.py", user / "my_net.py"]
    assert len(modules_to_ship(files)) == 4


def test_what_is_installed_does_not_travel(user):
    everything = modules_to_ship([user / "my_net.py"])
    assert not any("site-packages" in path for path in everything)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.py", "there is no such file"),
        ("my-net.py", "'my-net.py' is not a Python module's; rename it"),
        ("net.txt", "'net.txt' is not a Python module's"),
    ],
)
def test_a_file_that_no_worker_could_import_is_refused(tmp_path, name, message):
    if name != "gone.py":
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=message):
        modules_to_ship([tmp_path / name])
