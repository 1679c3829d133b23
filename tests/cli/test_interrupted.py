import subprocess
import sys
from pathlib import Path

import pytest

from slimtune.cli.interrupted import interrupted_line, leaving_when_stuck
from slimtune.cli.state import State

STUCK = """
import sys
from pathlib import Path
from slimtune.cli.interrupted import leaving_when_stuck
from slimtune.cli.state import State
state = State()
state.run = Path(sys.argv[1])
hear = leaving_when_stuck(state, lambda event, values: print(event, flush=True))
hear("stopping", {})
hear("stuck", {})
print("still there")
"""


def test_the_line_names_the_command_that_goes_on_once_there_is_a_run(tmp_path: Path) -> None:
    state = State()
    assert interrupted_line(state) == "interrupted; nothing was written"
    state.run = tmp_path / "a run"
    assert interrupted_line(state) == "interrupted; nothing was written"
    state.run.mkdir()
    (state.run / "run.json").touch()
    assert interrupted_line(state).endswith(f"search --resume '{state.run}'")


def test_a_stuck_process_ends_with_that_line(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    done = subprocess.run(
        [sys.executable, "-c", STUCK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "stopping\nstuck\n")
    assert done.stderr.endswith(f"search --resume {tmp_path}\n")


@pytest.mark.parametrize("event", ["stopping", "finished"])
def test_other_events_only_pass(event: str) -> None:
    heard = []
    leaving_when_stuck(State(), lambda *told: heard.append(told))(event, {"a": 1})
    assert heard == [(event, {"a": 1})]
