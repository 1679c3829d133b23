import ast
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.table import Table
from rich.text import Text

import slimtune.cli
from slimtune.cli.screen.console import CleanConsole
from slimtune.cli.screen.terminal import clean, echo

NASTY = "a\x1b]0;title\x07b\x1b[31mc\x9b2J\rd\x7f\u202ee"
SHOWN = "a␛]0;title␇b␛[31mc�2J␍d␡�e"


def test_control_characters_are_shown_and_command_nothing() -> None:
    assert clean(NASTY) == SHOWN
    assert (
        clean("tab\tand\nlines stay, as do ✓ é 漢 🙂") == "tab\tand\nlines stay, as do ✓ é 漢 🙂"
    )
    assert clean(NASTY, ascii_only=True) == "a?]0;title?b?[31mc?2J?d??e"


@given(st.text())
def test_nothing_else_is_changed(text: str) -> None:
    changed = [b for a, b in zip(text, clean(text), strict=True) if a != b]
    assert all(ord(each) >= 0x2400 for each in changed)
    assert "\x1b" not in clean(text) and clean(clean(text)) == clean(text)


def test_echo_is_clean_on_both_streams(capsys: pytest.CaptureFixture[str]) -> None:
    echo(NASTY)
    echo(NASTY, err=True, nl=False)
    assert tuple(capsys.readouterr()) == (f"{SHOWN}\n", SHOWN)


@pytest.mark.parametrize("terminal", [False, True])
def test_whatever_a_console_prints_is_clean(terminal: bool) -> None:
    console = CleanConsole(file=io.StringIO(), force_terminal=terminal, width=100)
    table = Table(title=NASTY, caption=NASTY)
    table.add_column(NASTY)
    table.add_row(Text(NASTY))
    console.print(NASTY, markup=False, soft_wrap=True)
    console.print(table)
    with Live(Text(NASTY), console=console):
        console.print(Text(NASTY, style="red"))
    text = console.file.getvalue()
    for sequence in ("\x1b]0;", "\x07", "\x1b[31mc", "\x9b", "\x7f", "\u202e"):
        assert sequence not in text
    assert text.count("␛]0;") >= 5
    assert ("\x1b[" in text) is terminal  # colours and cursor of our own


def test_no_verb_prints_past_this_door() -> None:
    folder = Path(slimtune.cli.__file__).parent
    for file in folder.rglob("*.py"):
        if file.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "click.echo", "click.secho", "Console"), file
                assert not called.startswith(("sys.stdout.write", "sys.stderr.write")), file
                assert not called.startswith("traceback.print_"), file
