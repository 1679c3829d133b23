from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from slimtune.cli.options.allow_code import allow_code_option
from slimtune.workload.own_code import consent_ends, is_allowed


@pytest.mark.parametrize(("given", "allowed"), [([], False), (["--allow-code"], True)])
def test_code_that_a_file_names_may_run_once_the_option_is_given(
    given: list[str], allowed: bool, tmp_path: Path
) -> None:
    found = []

    @click.command()
    @allow_code_option
    def command() -> None:
        found.append(is_allowed(f"{tmp_path}/net.py:make"))

    with consent_ends():
        assert CliRunner().invoke(command, given).exit_code == 0
    assert found == [allowed]
