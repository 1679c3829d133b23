import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slimtune.search.listeners.last_words import WORDS

ROOT = Path(__file__).parents[2]
BEGIN = "import os, signal\nfrom slimtune.search.listeners.last_words import LastWords, hush\n"


def said(code: str) -> tuple[int, str]:
    """Return the exit code and standard error of a program, once nobody holds the latter."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("death", "code"),
    [("os._exit(1)", 1), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
)
def test_a_process_that_ends_at_once_is_spoken_for_in_one_line(death: str, code: int) -> None:
    assert said(f"words = LastWords()\n{death}") == (code, f"{WORDS}\n")


@pytest.mark.parametrize("end", ["words.withdraw(); words.withdraw()", "hush()"])
def test_words_that_were_withdrawn_are_not_said(end: str) -> None:
    assert said(f"words = LastWords()\n{end}\nos._exit(3)") == (3, "")


def test_signals_to_the_group_of_the_process_do_not_end_the_words() -> None:
    code = "os.setpgid(0, 0)\nwords = LastWords()\nos.killpg(0, signal.SIGKILL)"
    assert said(code) == (-signal.SIGKILL, f"{WORDS}\n")
