import sys
from pathlib import Path

import pytest

from slimtune.errors import ConfigError, DataError, ModelError
from slimtune.workload import own_code
from slimtune.workload.own_code import (
    allow_all_code,
    allow_code,
    anchored_code,
    code_digest,
    consent_ends,
    is_allowed,
    is_code,
    load_code,
    loaded_code,
    local_files,
    local_modules,
    names_nothing,
    provide_code,
)


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "text", ["./net.py:make", "/a b/net.py:make", "pkg.mod:make", "mod:make", "~/n.py:Net"]
)
def test_a_file_or_a_module_with_a_name_behind_a_colon_is_code(text: str) -> None:
    assert is_code(text)


@pytest.mark.parametrize(
    "text", ["resnet20", "net.py", "net.py:", "folder:data/x", "a:b:c", ":x", "a:1b", None, 3]
)
def test_anything_else_is_not(text: object) -> None:
    assert not is_code(text)


def test_the_word_of_a_family_is_no_module() -> None:
    assert is_code("torchvision:resnet18")
    assert not is_code("torchvision:resnet18", ("torchvision",))


def test_one_word_that_is_no_module_names_nothing() -> None:
    assert names_nothing("torchvison:resnet18")
    assert not names_nothing("json:loads") and not names_nothing("pkg.mod:make")


def test_nothing_runs_without_consent(tmp_path: Path) -> None:
    file = write(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')\nx = 1\n")
    with pytest.raises(ConfigError, match="needs --allow-code"):
        load_code(f"{file}:x")
    assert not (tmp_path / "ran").exists()


def test_consent_is_to_one_reference_or_to_all(tmp_path: Path) -> None:
    file = write(tmp_path, "x = 1\ny = 2\n")
    allow_code(f"{file}:x")
    assert load_code(f"{file}:x") == 1
    with pytest.raises(ConfigError):
        load_code(f"{file}:y")
    allow_all_code()
    assert load_code(f"{file}:y") == 2


def test_consent_ends_with_the_block_though_the_code_is_loaded(tmp_path: Path) -> None:
    reference = f"{write(tmp_path, 'x = 1')}:x"
    with consent_ends():
        allow_code(reference)
        load_code(reference)
        assert loaded_code()[reference] == 1
    assert not is_allowed(reference) and reference not in loaded_code()
    with pytest.raises(ConfigError):
        load_code(reference)


def test_a_relative_file_is_that_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "x = 1")
    monkeypatch.chdir(tmp_path)
    allow_code("mine.py:x")
    assert load_code("./mine.py:x") == 1
    assert anchored_code("./mine.py:x") == f"{tmp_path / 'mine.py'}:x"
    assert anchored_code("pkg.mod:x") == "pkg.mod:x"


def test_a_file_imports_its_neighbours_and_they_belong_to_it(tmp_path: Path) -> None:
    helper = write(tmp_path, "y = 5\n", "neighbour_of_mine.py")
    file = write(tmp_path, "import json\nfrom neighbour_of_mine import y\nx = y + 1\n")
    reference = f"{file}:x"
    allow_code(reference)
    assert load_code(reference) == 6
    assert local_files(reference) == sorted([file, helper])
    assert {m.__name__ for m in local_modules(reference)} >= {"neighbour_of_mine"}
    before = code_digest(reference)
    helper.write_text("y = 6\n")
    assert code_digest(reference) != before


def test_a_module_of_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ownpkg").mkdir()
    write(tmp_path / "ownpkg", "", "__init__.py")
    write(tmp_path / "ownpkg", "x = 7\n", "deep.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    allow_code("ownpkg.deep:x")
    assert not names_nothing("ownpkg:x")
    assert load_code("ownpkg.deep:x") == 7
    assert tmp_path / "ownpkg" / "deep.py" in local_files("ownpkg.deep:x")


def test_installed_modules_belong_to_nobody() -> None:
    allow_code("json:loads")
    load_code("json:loads")
    assert local_files("json:loads") == []


def test_a_worker_is_given_what_references_mean(tmp_path: Path) -> None:
    provide_code({"/no/such/file.py:x": 3})
    assert load_code("/no/such/file.py:x") == 3
    own_code._loaded.pop("/no/such/file.py:x")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1", "buidl", "mine.py has no 'buidl'.$"),
        ("def build():\n    pass", "buidl", r"no 'buidl' \(found: build\). Did you mean 'build'"),
        ("x = (", "x", "mine.py:1: cannot be imported: SyntaxError"),
        ("\n\nimport no_such_thing", "x", "mine.py:3: .*No module named 'no_such_thing'"),
        ("raise SystemExit(3)", "x", "mine.py:1: cannot be imported: SystemExit"),
        ("def f():\n    1 / 0\nf()", "x", "mine.py:2: cannot be imported: ZeroDivisionError"),
    ],
)
def test_code_that_cannot_be_loaded_is_one_line(
    tmp_path: Path, text: str, name: str, message: str
) -> None:
    file = write(tmp_path, text)
    allow_all_code()
    with pytest.raises(ModelError, match=message) as caught:
        load_code(f"{file}:{name}", ModelError)
    assert "\n" not in str(caught.value)


def test_a_file_or_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    allow_all_code()
    with pytest.raises(DataError, match="nothing.py does not exist"):
        load_code(f"{tmp_path}/nothing.py:x", DataError)
    with pytest.raises(DataError, match="no module named 'no_such_pkg'"):
        load_code("no_such_pkg.mod:x", DataError)
