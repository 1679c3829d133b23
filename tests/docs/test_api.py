import importlib.util
from types import ModuleType

import pytest

import slimtune
from tests.docs.page import ROOT


@pytest.fixture(scope="module")
def make_api() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs/make_api.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_make(make_api: ModuleType) -> None:
    assert (ROOT / "docs/api.md").read_text() == make_api.page(), "run `make docs`"


def test_every_public_name_is_on_the_page(make_api: ModuleType) -> None:
    page = make_api.page()
    for name in slimtune.__all__:
        assert name == "__version__" or f"### `st.{name}`" in page, name


def test_a_docstring_becomes_a_list_of_its_arguments(make_api: ModuleType) -> None:
    doc = "Do ``it``.\n\nArgs:\n    a: one,\n        two.\n\nRaises:\n    UserError: never.\n"
    made = make_api.markdown(doc)
    assert "Do `it`." in made
    assert "- `a`: one, two." in made
    assert "Raises:\n\n- `UserError`: never." in made
