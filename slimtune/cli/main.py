"""The entry point: global options, verbs that load when asked for, and the one error boundary."""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from slimtune.cli.screen import phrases
from slimtune.cli.screen.interrupted import (
    INTERRUPTED,
    interrupted_line,
    leave_at_once,
    let_sigterm_interrupt,
)
from slimtune.cli.screen.streams import tolerate_failures
from slimtune.cli.screen.terminal import echo
from slimtune.cli.screen.warning_lines import warning_lines
from slimtune.cli.state import State
from slimtune.errors import (
    PickledWeightsError,
    RunChangedError,
    SlimtuneError,
    UserError,
    did_you_mean,
)
from slimtune.version import __version__
from slimtune.workload import load_progress
from slimtune.workload.own_code import consent_ends

# Verb -> (module with a click command called `command`, help in one line). The help is written
# here so that a list of the verbs imports none of them. A verb that needs torch has its options in
# cli/options, so that its help needs no torch.
VERBS: dict[str, tuple[str, str]] = {
    "search": ("slimtune.cli.options.search", "Search for small, fast versions of a model."),
    "watch": ("slimtune.cli.verbs.watch", "Watch a running search from another terminal."),
    "front": (
        "slimtune.cli.verbs.front",
        "Show the Pareto front, or only the members within your limits.",
    ),
    "report": ("slimtune.cli.verbs.report", "Write an HTML page that explains a run."),
    "summary": (
        "slimtune.cli.verbs.summary",
        "Show every pipeline of a run, averaged over seeds.",
    ),
    "export": ("slimtune.cli.verbs.export", "Copy members of the front, ready to deploy."),
    "rerun": ("slimtune.cli.options.rerun", "Repeat one trial alone, to debug it or to check it."),
    "compress": ("slimtune.cli.options.compress", "Carry out one recipe, without a search."),
    "evaluate": ("slimtune.cli.options.evaluate", "Measure an ONNX file or a checkpoint."),
    "compare": (
        "slimtune.cli.options.compare",
        "Compare models in one table, from slimtune or other tools.",
    ),
    "doctor": ("slimtune.cli.options.doctor", "Check what a search can do with a model and data."),
    "init": (
        "slimtune.cli.options.init",
        "Print a config file with every setting, for you to edit.",
    ),
    "methods": ("slimtune.cli.options.methods", "List methods, models, data sources and presets."),
}

NO_JSON = ("export", "rerun", "compress", "init")
"""Verbs whose results have no JSON form."""


class VerbGroup(click.Group):
    """A group whose commands are listed in a table; a command is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb's command, importing its module; None if there is no such verb."""
        if cmd_name not in VERBS:
            return None
        loaded: click.Command = import_module(VERBS[cmd_name][0]).command
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; the error for an unknown one suggests the nearest."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            guess = did_you_mean(name, VERBS)
            raise click.UsageError(f"No such command '{name}'.{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and their help from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: slimtune search --preset demo",
)
@click.version_option(__version__, "--version", message="slimtune %(version)s")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Print every epoch and every started trial.")
@click.option("--json", "as_json", is_flag=True, help="Print events and results as JSON.")
@click.option("--no-color", is_flag=True, help="Print without colours, like NO_COLOR=1.")
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.pass_context
def cli(
    ctx: click.Context, quiet: bool, verbose: bool, as_json: bool, no_color: bool, debug: bool
) -> None:
    """Find small, fast versions of a trained image classifier.

    Results go to standard output, progress and errors to standard error. Exit codes: 0 done,
    1 internal error or failed check, 2 bad input, 3 nothing within the limits, 4 no trial
    finished, 5 unusable run folder, 130 interrupted.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other; give one.")
    if as_json and ctx.invoked_subcommand in NO_JSON:
        raise click.UsageError(f"{ctx.invoked_subcommand} has no JSON form; leave --json out.")
    state: State = ctx.obj
    state.verbosity = int(verbose) - int(quiet)
    state.color = not (no_color or os.environ.get("NO_COLOR"))
    state.debug = debug
    state.json = as_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error ends here, in one line.

    Args:
        argv: arguments without the program's name; the process's own if not given.
    """
    state = State()
    code = 0

    def show_decoding(done: int, total: int) -> None:
        if state.verbosity >= 0:
            echo(phrases.decoding(done, total), err=True)

    if argv is None:
        let_sigterm_interrupt()
    try:
        with (
            consent_ends(),
            tolerate_failures(),
            warning_lines(state),
            load_progress.listening(show_decoding, load_progress.LINES),
        ):
            code = _run(argv, state)
    except SlimtuneError as error:  # standard output failed; everything else is done
        with suppress(OSError):
            _report(state, str(error), error.exit_code)
        return code or error.exit_code
    return code


def _run(argv: Sequence[str] | None, state: State) -> int:
    try:
        code = cli.main(argv, prog_name="slimtune", standalone_mode=False, obj=state)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _report(state, _usage_line(error), error.exit_code)
    except (RunChangedError, PickledWeightsError) as error:
        return _report_lines(state, error)
    except SlimtuneError as error:
        return _report(state, str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        if argv is None:
            leave_at_once()
        return _report(state, interrupted_line(state), INTERRUPTED, prefix="")
    except SystemExit as error:  # raised by the user's own code; click raises none here
        text = f"your code ended the program with sys.exit({error.code!r}); remove that call"
        return _report(state, text, UserError.exit_code)
    except Exception as error:  # a bug in slimtune; --debug prints the traceback
        kind = type(error).__name__
        hint = "" if state.debug else "; run again as `slimtune --debug …` for the traceback"
        return _report(state, f"{kind}: {error}{hint}", 1, prefix="internal error: ")


def _report(state: State, message: str, code: int, prefix: str = "error: ") -> int:
    """Print the traceback if asked for, then one line, on standard error."""
    if state.debug:
        echo(traceback.format_exc(), err=True, nl=False)
    echo(prefix + " ".join(message.split()), err=True)
    return code


def _report_lines(state: State, error: SlimtuneError) -> int:
    """Print the error's first line as an error, and its other lines unchanged."""
    first, *others = str(error).splitlines()
    code = _report(state, first, error.exit_code)
    for line in others:
        echo(line, err=True)
    return code


def _usage_line(error: click.ClickException) -> str:
    """Return click's message and the command that shows the help, in one line."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None:
        return message
    stop = "" if message.endswith(".") else "."
    return f"{message}{stop} See '{context.command_path} --help'."


if __name__ == "__main__":
    sys.exit(main())
