"""The dataclass of all settings: frozen, keyword-only, and checked when it is built."""

from typing import Any, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as _pydantic_dataclass

MOST_EPOCHS = 1000
"""The largest value of a setting of epochs."""

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[Any]) -> Any:
    """Make ``cls`` a frozen keyword-only dataclass that checks every field when it is built.

    A field is written ``name: Annotated[type, Field(ge=..., description="...")] = default``.
    The description and the range are what ``slimtune methods`` prints; the conformance tests
    refuse a field without a description, or a number without a range.

    Raises (from the class built): pydantic.ValidationError, which `from_validation` in
    ``slimtune.errors`` turns into one line.
    """
    return _pydantic_dataclass(cls, frozen=True, kw_only=True, config=_CONFIG)
