from slimtune.cli.state import State


def test_by_default_progress_is_shown_and_nothing_is_kept_from_an_interrupted_verb() -> None:
    state = State()
    assert state.verbosity == 0 and not state.debug and state.run is None


def test_two_calls_of_the_command_line_share_no_state() -> None:
    first, second = State(), State()
    first.debug = True
    assert not second.debug
