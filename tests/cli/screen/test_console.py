from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from slimtune.cli.screen.console import (
    PLAIN_WIDTH,
    log_console,
    result_console,
    style_option,
    write_or_echo,
)
from slimtune.cli.state import State
from slimtune.errors import UserError


def test_results_go_to_standard_output_and_log_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result_console(State()).print("[result]", markup=False)
    log_console(State()).print("log")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("[result]\n", "log\n")


def test_quiet_silences_the_log_but_not_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    result_console(State(verbosity=-1)).print("result")
    log_console(State(verbosity=-1)).print("log")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "")


def test_a_result_that_goes_to_no_terminal_has_a_fixed_width_and_no_colour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = result_console(State())
    assert console.width == PLAIN_WIDTH
    console.print("[red]word[/red]")
    assert capsys.readouterr().out == "word\n"


def test_text_is_echoed_or_written_with_one_final_newline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_or_echo("a\n\n", None)
    assert capsys.readouterr().out == "a\n"
    write_or_echo("b", tmp_path / "f.txt")
    assert (tmp_path / "f.txt").read_text() == "b\n"
    assert capsys.readouterr().out == ""


def test_a_missing_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="parent folder does not exist"):
        write_or_echo("a", tmp_path / "no" / "f.txt")


@pytest.mark.parametrize(
    ("given", "json", "style"),
    [
        ([], False, "table"),
        ([], True, "json"),
        (["--format", "csv"], True, "csv"),
        (["--format", "json"], False, "json"),
    ],
)
def test_a_verb_prints_json_where_that_was_said_before_it_and_nothing_else_after(
    given: list[str], json: bool, style: str
) -> None:
    @click.command()
    @style_option(["table", "json", "csv"], "How.")
    def command(style: str) -> None:
        click.echo(style)

    assert CliRunner().invoke(command, given, obj=State(json=json)).output == f"{style}\n"
