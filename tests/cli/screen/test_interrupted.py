import subprocess
import sys
from pathlib import Path

import pytest

from slimtune.cli.screen.interrupted import interrupted_line, leave_when_stuck, resume_command
from slimtune.cli.state import State
from slimtune.search.listeners.events import Event, Stopping, Warned

STUCK = """
import sys
from pathlib import Path
from slimtune.cli.screen.interrupted import leave_when_stuck
from slimtune.cli.state import State
from slimtune.search.listeners.events import Stopping, Stuck
state = State()
state.run = Path(sys.argv[1])
hear = leave_when_stuck(state, lambda event: print(event.kind, flush=True))
hear(Stopping(10.0))
hear(Stuck())
print("still there")
"""


def test_the_line_names_the_command_that_goes_on_once_there_is_a_run(tmp_path: Path) -> None:
    state = State()
    state.run = tmp_path / "a run"
    assert interrupted_line(state) == "interrupted; nothing was written"
    state.run.mkdir()
    (state.run / "run.json").touch()
    assert interrupted_line(state).endswith(f"search --resume '{state.run}'")


def test_of_a_verb_that_is_no_search_nobody_knows_what_was_written() -> None:
    assert interrupted_line(State()) == "interrupted"


@pytest.mark.parametrize(
    ("manifest", "consent"),
    [
        ('{"workload": {"code": {"/a/net.py:make": "abc"}}}', " --allow-code"),
        ('{"workload": {"code": {}}}', ""),
        ('{"workload": {}}', ""),
        ('{"workload": [1]}', ""),
        ('{"wor', ""),
    ],
)
def test_a_run_with_code_of_the_users_own_goes_on_with_consent(
    tmp_path: Path, manifest: str, consent: str
) -> None:
    (tmp_path / "run.json").write_text(manifest)
    assert resume_command(tmp_path).endswith(f"search --resume {tmp_path}{consent}")
    assert interrupted_line(State(run=tmp_path)).endswith(resume_command(tmp_path))


def test_a_stuck_process_ends_with_that_line(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    done = subprocess.run(
        [sys.executable, "-c", STUCK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "stopping\nstuck\n")
    assert done.stderr.endswith(f"search --resume {tmp_path}\n")


@pytest.mark.parametrize("event", [Stopping(10.0), Warned("a")])
def test_other_events_only_pass(event: Event) -> None:
    heard: list[Event] = []
    leave_when_stuck(State(), heard.append)(event)
    assert heard == [event]
