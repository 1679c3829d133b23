from pathlib import Path

import pytest

from slimtune.api.screen import console_for, line_writer, progress_for, show_decoding
from slimtune.cli.screen.notebook import NotebookProgress
from slimtune.cli.screen.progress import Progress
from slimtune.workload.load_progress import LINES, report_decoded


def test_lines_go_to_standard_error_unless_it_shall_be_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line_writer(console_for(quiet=False))("[bold] is no markup " + "x" * 200)
    assert capsys.readouterr() == ("", "[bold] is no markup " + "x" * 200 + "\n")
    line_writer(console_for(quiet=True))("nothing")
    assert capsys.readouterr() == ("", "")


def test_outside_of_a_notebook_a_search_writes_to_the_console(tmp_path: Path) -> None:
    progress = progress_for(console_for(quiet=False), tmp_path)
    assert type(progress) is Progress and not isinstance(progress, NotebookProgress)


def test_decoding_is_told_of_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with show_decoding(console_for(quiet=False)):
        report_decoded(1, 9)  # at once there is nothing to tell
    assert LINES > 1 and capsys.readouterr().err == ""
