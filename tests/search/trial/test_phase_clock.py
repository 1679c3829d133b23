from slimtune.search.trial.phase_clock import PhaseClock


def test_the_clock_adds_up_a_stage_that_comes_back() -> None:
    clock = PhaseClock()
    for phase in ("a", "b", "a"):
        clock.report(phase, {"x": 1.0})
    clock.stop()
    assert set(clock.seconds) == {"a", "b"} and clock.text() == "a x=1\nb x=1\na x=1\n"


def test_each_stage_is_told_once_when_it_begins():
    heard: list[str] = []
    clock = PhaseClock(heard.append)
    clock.report("fine-tune", {})
    clock.report("fine-tune", {"epoch": 1})
    clock.report("export", {})
    assert heard == ["fine-tune", "export"]


def test_the_clock_can_be_read_without_stopping_it() -> None:
    clock = PhaseClock()
    clock.report("a", {})
    assert set(clock.so_far()) == {"a"}
    clock.report("b", {})
    clock.stop()
    assert set(clock.seconds) == {"a", "b"}
