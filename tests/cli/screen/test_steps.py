import io

from rich.console import Console

from slimtune.cli.screen.steps import Steps
from slimtune.workload import load_progress


def test_without_a_terminal_each_step_is_a_line_and_decoding_one_now_and_then() -> None:
    file, now = io.StringIO(), [0.0]
    with Steps(Console(file=file, width=80), "loading", lambda: now[0]) as steps:
        steps._show_decoding(256, 9000)
        now[0] = 6.0
        steps._show_decoding(2560, 9000)
        steps("trying: prune [channels]")
    assert file.getvalue().splitlines() == [
        "decoding images: 2560 of 9000",
        "trying: prune [channels]",
    ]


def test_a_terminal_has_one_line_that_is_gone_in_the_end() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with Steps(console, "loading") as steps:
        steps("trying: export")
        steps._picture.refresh()
    assert "trying: export" in file.getvalue() and "0:00:0" in file.getvalue()
    assert file.getvalue().endswith(("\x1b[2K", "\x1b[1A\x1b[2K"))


def test_a_quiet_console_shows_nothing_and_decoding_is_no_longer_heard_afterwards() -> None:
    file = io.StringIO()
    with Steps(Console(file=file, quiet=True), "loading") as steps:
        steps("more")
    load_progress.report_decoded(1, 2)
    assert file.getvalue() == ""
