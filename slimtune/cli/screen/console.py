"""The consoles of the verbs: results go to standard output, progress and log to standard error."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from slimtune.cli.screen.terminal import clean, echo
from slimtune.cli.state import State
from slimtune.results.store.output import write_output

_Command = TypeVar("_Command", bound=Callable[..., Any])
PLAIN_WIDTH = 100
"""Columns of a table that goes to a file or a pipe: the same on every machine."""


class CleanConsole(Console):
    """A console that can colour and move the cursor; the text that it prints cannot."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as `Console` does, and clean every piece of text."""
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                yield segment._replace(text=self._cleaned(segment.text))
            else:
                yield segment

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console` does; text is cleaned before it is laid out."""
        cleaned = [self._cleaned(each) if isinstance(each, str) else each for each in objects]
        super().print(*cleaned, **options)

    def _cleaned(self, text: str) -> str:
        return clean(text, ascii_only=not self.encoding.lower().startswith("utf"))


def result_console(state: State) -> Console:
    """Return the console for results: standard output."""
    console = CleanConsole(no_color=not state.color, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = CleanConsole(no_color=True, highlight=False, width=PLAIN_WIDTH)
    return console


def log_console(state: State) -> Console:
    """Return the console for progress and log: standard error, silent with ``--quiet``."""
    return CleanConsole(
        stderr=True, no_color=not state.color, highlight=False, quiet=state.verbosity < 0
    )


def is_live(console: Console) -> bool:
    """Return whether a console can show a picture that moves: it is a terminal, and not quiet."""
    return console.is_terminal and not console.quiet


def write_or_echo(text: str, output: Path | None) -> None:
    """Write ``text`` to the file, or to standard output if there is none.

    Raises:
        UserError: the file's folder does not exist.
        RunError: the file cannot be written.
    """
    text = text.rstrip("\n") + "\n"
    if output is None:
        echo(text, nl=False)
    else:
        write_output(output, text)


def plain_table(title: str, *columns: str) -> Table:
    """Return an empty table without lines, in the style of the front's table."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def json_option(command: _Command) -> _Command:
    """Add ``--json`` to a verb, the same as the global option: people also type it last."""

    def note(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        ctx.obj.json = ctx.obj.json or value

    option = click.option(
        "--json", is_flag=True, expose_value=False, callback=note, help="Print JSON."
    )
    return option(command)


def style_option(styles: Sequence[str], text: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds ``--format`` to a verb, as the parameter ``style``.

    Args:
        styles: the choices, ``json`` among them. The default is ``json`` after ``--json``, else
            the first.
        text: the option's help.
    """

    def or_default(ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
        return value or ("json" if ctx.obj.json else styles[0])

    choice = click.Choice(styles)
    return click.option("--format", "style", type=choice, callback=or_default, help=text)
