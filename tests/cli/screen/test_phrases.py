import sys
from pathlib import Path

import pytest

from slimtune.cli.screen import phrases


def test_objectives_are_told_in_their_units() -> None:
    told = phrases.measurements({"accuracy": 0.98, "size_bytes": 30515, "latency_ms": 0.1213})
    assert told == "accuracy 0.9800  size 29.8 KiB  latency 0.121 ms"
    assert phrases.measurement("macs", 40_551_040) == "MACs 40.55 M"


def test_an_unstable_latency_says_so() -> None:
    assert phrases.measurements({"accuracy": 0.9, "latency_ms": 2.0}, stable=False) == (
        "accuracy 0.9000  latency 2.000 ms ~"
    )


def test_hints_name_the_program_so_that_a_shell_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "bin" / "slimtune"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(script.parent))
    assert phrases.program() == "slimtune"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert phrases.program() == "bin/slimtune"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert phrases.program().endswith("-m slimtune")


def test_notes_of_the_data_are_a_line_each() -> None:
    assert phrases.notes([]) == []
    assert phrases.notes(["left out 2 files"]) == ["note      left out 2 files"]
