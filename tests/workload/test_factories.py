from pathlib import Path
from typing import Any

import pytest

from slimtune.errors import ModelError
from slimtune.workload.factories import call_factory
from slimtune.workload.own_code import allow_all_code

CODE = """
def some(a): return ("some", a)
def every(**k): return sorted(k)
def none(): return "none"
def defaults(a, z=3): return (a, z)
def needs(a, q): return q
def fails(a): raise RuntimeError("no luck\\nat all")
def leaves(a):
    import sys
    sys.exit(3)
class Made:
    def __init__(self, b): self.b = b
number = 3
"""


def call(folder: Path, name: str) -> Any:
    file = folder / "made.py"
    file.write_text(CODE)
    allow_all_code()
    return call_factory(f"{file}:{name}", ModelError, a=1, b=2)


def test_a_function_is_given_what_it_takes(tmp_path: Path) -> None:
    assert call(tmp_path, "some") == ("some", 1)
    assert call(tmp_path, "every") == ["a", "b"]
    assert call(tmp_path, "none") == "none"
    assert call(tmp_path, "defaults") == (1, 3)
    assert call(tmp_path, "Made").b == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("needs", r"needs the argument 'q', .* \(it gives, by name: a, b\)"),
        ("fails", "raised RuntimeError: no luck$"),
        ("leaves", "raised SystemExit: 3$"),
        ("number", "is int, expected a function or a class"),
    ],
)
def test_what_cannot_be_called_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        call(tmp_path, name)
