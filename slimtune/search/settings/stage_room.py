"""The setting for the disk space of the stage store."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from slimtune.errors import UserError, shortened
from slimtune.results.parsing import parse_size


def _room(value: object) -> str:
    text = str(value).strip() if isinstance(value, str | int) else ""
    try:
        if text != "0":
            parse_size(text)
    except UserError:
        raise ValueError(
            f"must be a size such as 1GiB, or 0, but got {shortened(value)}"
        ) from None
    return text


StageRoom = Annotated[
    str,
    BeforeValidator(_room),
    Field(description="disk space for stages that trials share, such as 4GiB; 0: no sharing"),
]


def room_in_bytes(text: str) -> int:
    """Return the bytes that a `StageRoom` stands for; 0 is no store."""
    return 0 if text == "0" else parse_size(text)
