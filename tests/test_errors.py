import pickle

import pytest
from pydantic import BaseModel, Field, ValidationError

from slimtune import errors
from slimtune.errors import SlimtuneError, did_you_mean, from_validation, in_one_line, shortened


def all_errors(cls: type[SlimtuneError] = SlimtuneError) -> list[type[SlimtuneError]]:
    return [cls, *(e for sub in cls.__subclasses__() for e in all_errors(sub))]


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.__name__)
def test_every_exception_survives_pickling(cls: type[SlimtuneError]) -> None:
    again = pickle.loads(pickle.dumps(cls("rule, value, way out")))
    assert type(again) is cls and str(again) == "rule, value, way out"


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.__name__)
def test_the_tree_in_the_docstring_is_complete(cls: type[SlimtuneError]) -> None:
    line = next(x for x in (errors.__doc__ or "").splitlines() if f"{cls.__name__} " in x)
    if any(ch.isdigit() for ch in line):
        assert f" {cls.exit_code} " in line


def test_a_near_name_is_suggested_and_a_far_one_is_not() -> None:
    assert did_you_mean("taylr", ["l1", "taylor"]) == " Did you mean 'taylor'?"
    assert did_you_mean("zzz", ["l1", "taylor"]) == ""


def test_a_long_value_is_cut_to_one_line() -> None:
    text = shortened("x\n" * 1000)
    assert len(text) == 60 and "\n" not in text


class Inner(BaseModel, extra="forbid"):
    amount: float = Field(0.5, ge=0, lt=1)


class Outer(BaseModel, extra="forbid"):
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"amount": 1.0}}, "inner.amount: must be less than 1, but got 1.0"),
        ({"inner": {"amuont": 0.1}}, "inner.amuont: unknown key 'amuont'. Did you mean 'amount'?"),
        ({"inner": {"amount": "many"}}, "inner.amount: must be a valid number"),
    ],
)
def test_a_validation_error_becomes_one_line(values: dict, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer(**values)
    line = str(from_validation(caught.value, names=["amount"]))
    assert line.startswith(message) and "\n" not in line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "MemoryError"),
        (ValueError("\none\ntwo"), "ValueError: one"),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left"),
    ],
)
def test_an_error_in_one_line_has_no_colon_without_words(error: Exception, line: str) -> None:
    assert in_one_line(error) == line
