import click
import pytest
from click.testing import CliRunner

from slimtune.cli.options.choosing import given_limits, limit_options


@click.command()
@limit_options
def show(**limits):
    click.echo(given_limits(limits))


def run(*arguments):
    return CliRunner().invoke(show, arguments)


def test_limits_that_are_given_are_passed_on_as_they_are_written():
    done = run("--min-accuracy", "-1%", "--max-latency", "none")
    assert done.output == "{'min_accuracy': '-1%', 'max_latency': 'none'}\n"
    assert run().output == "{}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-latency", "2"), "give a unit, e.g. 2ms"),
        (("--max-size", "500"), "give a unit, e.g. 500KiB"),
        (("--min-accuracy", "2"), "must be 0..1, a percentage"),
        (("--max-latency", "-100%"), "leaves nothing"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_where_it_is_given(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output
