from slimtune.cli.screen.throttle import Throttle


def test_a_line_is_due_when_the_pause_is_over_and_then_not_until_the_next_is() -> None:
    seconds = [0.0]
    throttle = Throttle(5.0, lambda: seconds[0])
    assert not throttle.is_due()
    seconds[0] = 5.0
    assert throttle.is_due() and throttle.is_due()
    throttle.restart()
    assert not throttle.is_due()
    seconds[0] = 10.0
    assert throttle.is_due()
