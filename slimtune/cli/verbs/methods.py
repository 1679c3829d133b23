"""``slimtune methods``: list everything that a config can name, with its settings."""

import json
from typing import Any

from slimtune.cli.config.catalogue import Entry, catalogue
from slimtune.cli.screen import phrases
from slimtune.cli.screen.terminal import echo
from slimtune.errors import UnknownNameError, did_you_mean


def carry_out(name: str | None, style: str) -> None:
    """Print the catalogue, or one entry of it."""
    entries = catalogue()
    if name is not None:
        entries = _named(entries, name)
    if style == "json":
        echo(json.dumps([entry.to_dict() for entry in entries], indent=2))
        return
    text = _listing(entries) if name is None else "\n\n".join(map(_full, entries))
    echo(phrases.encodable(text))


def _named(entries: list[Entry], name: str) -> list[Entry]:
    """Return the entries called ``name``: two kinds may share a name.

    Raises:
        UnknownNameError: there is no such name; the message suggests the nearest.
    """
    found = [entry for entry in entries if entry.name == name]
    if not found:
        guess = did_you_mean(name, [entry.name for entry in entries])
        raise UnknownNameError(f"unknown name '{name}'.{guess} `slimtune methods` lists them all.")
    return found


def _listing(entries: list[Entry]) -> str:
    lines: list[str] = []
    kind = ""
    for entry in entries:
        if entry.kind != kind:
            kind = entry.kind
            lines += ["", f"{kind}:"] if lines else [f"{kind}:"]
        lines.append(f"  {entry.name:<16} {entry.summary}")
    return "\n".join(lines)


def _full(entry: Entry) -> str:
    lines = [f"{entry.name} ({entry.kind})", "", entry.text]
    if entry.reference:
        lines += ["", f"Reference: {entry.reference}"]
    if entry.settings:
        lines += ["", "Settings:"]
        lines += [_setting(setting) for setting in entry.settings]
    return "\n".join(lines)


def _setting(setting: dict[str, Any]) -> str:
    default = "required" if setting["required"] else f"default {setting['default']}"
    head = f"  {setting['name']} ({setting['type']}; {setting['range'] or 'any'}; {default})"
    return f"{head}\n      {setting['description']}"
