import dataclasses
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from slimtune.compression.settings import settings


@settings
class Example:
    """One ranged number."""

    size: Annotated[int, Field(ge=1, description="how many")] = 3


def test_a_value_out_of_range_is_refused_where_it_is_built() -> None:
    with pytest.raises(ValidationError):
        Example(size=0)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        Example(siez=2)


def test_settings_cannot_be_changed_and_compare_by_value() -> None:
    assert Example(size=2) == Example(size=2) and hash(Example()) == hash(Example(size=3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Example().size = 4
