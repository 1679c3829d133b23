import click
import pytest

from slimtune.cli.options import compress, search
from slimtune.cli.options.networks import network_options

NAMES = ["model", "weights", "data", "teacher", "teacher_weights"]


@pytest.mark.parametrize("command", [compress.command, search.command])
def test_search_and_compress_take_the_same_networks_in_the_same_words(command) -> None:
    @click.command()
    @network_options
    def alone(**_options: object) -> None: ...

    assert [parameter.name for parameter in alone.params] == NAMES
    helps = {parameter.name: parameter.help for parameter in command.params}
    assert {name: helps[name] for name in NAMES} == {p.name: p.help for p in alone.params}
