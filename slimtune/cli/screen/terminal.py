"""Print text so that it cannot control the terminal.

The pipeline of a run, the name of a class or the message of an exception may hold escape
sequences, which move the cursor, rename the window or hide text. Everything that the command line
prints goes through `echo` or a `console.CleanConsole`, which show control characters as symbols.
"""

import re

import click

from slimtune.cli.screen import phrases

# C0 but tab and newline, DEL, C1, and what turns the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str, ascii_only: bool = False) -> str:
    """Return ``text`` with a symbol, one column wide, in place of each control character."""
    return _CONTROL.sub("?" if ascii_only else _symbol, text)


def _symbol(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)  # ␛ for ESC
    return "␡" if code == 0x7F else "�"


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print text on standard output, or on standard error, without its control characters."""
    cleaned = clean(str(text))
    click.echo(cleaned if err else phrases.encodable(cleaned), err=err, nl=nl)
