import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from slimtune.cli.main import NO_JSON, VERBS, main

SLOW = ("torch", "torchvision", "ray", "optuna", "onnx", "onnxruntime", "torch_pruning")
HEAVY = ("torch", "ray", "optuna", "onnx", "onnxruntime", "pandas", "numpy", "rich")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    done = run_python(
        "import sys; from slimtune.cli.main import main; code = main(['--help']); "
        f"print('LOADED', [m for m in {HEAVY} if m in sys.modules]); sys.exit(code)"
    )
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout
    assert all(f"\n  {verb}" in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_imports_no_torch_ray_or_optuna(verb: str) -> None:
    done = run_python(
        f"import sys; from slimtune.cli.main import main; code = main([{verb!r}, '--help']); "
        f"print('LOADED', [m for m in {SLOW} if m in sys.modules]); sys.exit(code)"
    )
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slimtune", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("slimtune ")


def test_without_arguments_the_help_is_shown_with_the_code_of_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_has_a_help_sentence_and_every_verb_an_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = import_module(VERBS[verb][0]).command
    assert command.name == verb
    assert command.epilog.startswith("Example: slimtune ")
    options = [p for p in command.params if p.param_type_name == "option"]
    assert options
    for option in options:
        assert option.help and option.help.endswith("."), option.name
    assert main([verb, "--help"]) == 0
    assert command.epilog.split()[0] in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_every_verb_is_made_of_options_it_has(verb: str) -> None:
    command = import_module(VERBS[verb][0]).command
    words = command.epilog.removeprefix("Example: slimtune ").split()
    assert words[0] == verb
    known = {name for param in command.params for name in param.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_an_error_of_ours_is_one_line_with_its_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["front", "no/such/run"]) == 5
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: 'no/such/run' is not a slimtune run")


def test_debug_shows_the_traceback_above_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "front", "no/such/run"]) == 5
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert error.splitlines()[-1].startswith("error: 'no/such/run' is not a slimtune run")


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-q", "-v", "methods"]) == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("verb", NO_JSON)
def test_json_is_refused_where_there_is_no_json_form(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", verb]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {verb} has no JSON form; leave --json out.")


BOUNDARY = """
import sys
import click
from slimtune.cli import main as cli

@cli.cli.command("boom")
@click.pass_obj
def boom(state):
    from pathlib import Path
    state.run = Path({run!r})
    raise {error}

cli.VERBS["boom"] = ("boom_module", "fails")
import types
sys.modules["boom_module"] = types.SimpleNamespace(command=boom)
sys.exit(cli.main({arguments}))
"""


def boom(error: str, *arguments: str, run: str = "nowhere") -> subprocess.CompletedProcess[str]:
    code = BOUNDARY.format(error=error, run=run, arguments=[*arguments, "boom"])
    return run_python(code)


def test_an_interrupt_before_anything_was_written_says_so() -> None:
    done = boom("KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted; nothing was written"


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    done = boom("KeyboardInterrupt", run=str(tmp_path))
    assert done.returncode == 130
    line = done.stderr.strip()
    assert line.startswith("interrupted; finished trials are kept; continue with: ")
    assert line.endswith(f"search --resume {tmp_path}")


def test_a_bug_is_one_line_that_names_the_way_to_the_traceback() -> None:
    done = boom("ZeroDivisionError('a\\nb')")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("internal error: ZeroDivisionError: a b; run again as")


def test_code_of_the_users_own_that_exits_is_one_line_and_bad_input() -> None:
    done = boom("SystemExit(0)")
    assert done.returncode == 2
    assert done.stderr == "error: your code ended the program with sys.exit(0); remove that call\n"


def test_a_bug_with_debug_shows_its_traceback() -> None:
    done = boom("ZeroDivisionError('a')", "--debug")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1] == "internal error: ZeroDivisionError: a"


def test_a_run_that_was_made_otherwise_is_refused_with_a_line_a_difference() -> None:
    text = "runs/a was\\n  seed: 1 in the run, 2 now"
    done = boom(f"__import__('slimtune.errors').errors.RunChangedError('{text}')")
    assert done.returncode == 5
    assert done.stderr == "error: runs/a was\n  seed: 1 in the run, 2 now\n"


SIGNALLED = """
import sys, time
sys.argv = ["slimtune", "boom"]
import click
from slimtune.cli import main as cli

@cli.cli.command("boom")
def boom():
    try:
        print("at work", flush=True)
        time.sleep(60)
    finally:
        print("ending", flush=True)
        time.sleep({end})

cli.VERBS["boom"] = ("boom_module", "fails")
import types
sys.modules["boom_module"] = types.SimpleNamespace(command=boom)
code = cli.main()
print("said", flush=True)
time.sleep({after})
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("end", "after", "again"), [(60, 0, "ending\n"), (0, 60, "said\n"), (0, 0, None)]
)
def test_sigterm_once_or_twice_is_an_interrupt_wherever_it_comes(
    end: int, after: int, again: str | None
) -> None:
    code = SIGNALLED.format(end=end, after=after)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGTERM)
        while again is not None and process.stdout.readline() != again:
            pass
        if again is not None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        assert process.stderr.read().strip() == "interrupted"
