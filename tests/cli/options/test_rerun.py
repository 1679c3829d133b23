from slimtune.cli.options.rerun import STAGES, command
from slimtune.cli.verbs.rerun import carry_out
from slimtune.search.review.single import BEFORE
from tests.cli.options.agreement import check_agreement


def test_every_option_is_an_argument_of_what_is_carried_out() -> None:
    check_agreement(command, carry_out)


def test_the_stages_to_begin_with_are_those_that_are_kept() -> None:
    assert tuple(BEFORE) == STAGES
