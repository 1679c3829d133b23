import click
import pytest
from click.testing import CliRunner

from slimtune.cli.choosing import limit_options, resolved
from slimtune.errors import ConfigError, UserError

BASELINE = {"accuracy": 0.95, "latency_ms": 2.0, "size_bytes": 1000}


@click.command()
@limit_options
def show(**limits):
    click.echo(resolved(limits, BASELINE))


def run(*arguments):
    return CliRunner().invoke(show, arguments)


def test_limits_are_absolute_or_relative_to_the_baseline():
    done = run("--min-accuracy", "-1%", "--max-latency", "0.5x", "--max-size", "1KiB")
    assert done.output == "{'accuracy': 0.94, 'latency_ms': 1.0, 'size_bytes': 1024.0}\n"
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


def test_a_limit_against_a_baseline_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="--max-size 0.5x: the run's baseline has no size_bytes"):
        resolved({"max_size": "0.5x"}, {"accuracy": 0.9})
    assert resolved({"max_size": "5KiB"}, {}) == {"size_bytes": 5120.0}


def test_an_accuracy_above_one_is_refused():
    with pytest.raises(ConfigError, match="must be in 0..1"):
        resolved({"min_accuracy": "+10%"}, BASELINE)
