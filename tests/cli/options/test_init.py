from slimtune.cli.options.init import command
from slimtune.cli.verbs.init import carry_out
from tests.cli.options.agreement import check_agreement


def test_every_option_is_an_argument_of_what_is_carried_out() -> None:
    check_agreement(command, carry_out)
