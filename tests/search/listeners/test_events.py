import dataclasses

import pytest

from slimtune.search.listeners.events import (
    BaselineMeasured,
    LimitsSet,
    TrialStarted,
    ignore_events,
)


def test_an_event_is_a_value_that_says_what_it_holds() -> None:
    event = TrialStarted(3, "l1 50%")
    assert event == TrialStarted(number=3, pipeline="l1 50%")
    assert (event.kind, event.values()) == ("started", {"number": 3, "pipeline": "l1 50%"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.number = 4  # type: ignore[misc]
    ignore_events(event)


def test_limits_that_did_not_change_say_nothing_of_earlier_ones() -> None:
    same, other = LimitsSet({}, {}), LimitsSet({}, {}, before={}, asked_before={})
    assert not same.changed and list(same.values()) == ["limits", "asked"]
    assert other.changed and {"before", "asked_before", "stopped"} < other.values().keys()


def test_what_was_measured_is_told_flat() -> None:
    assert BaselineMeasured({"accuracy": 0.5}).values() == {"accuracy": 0.5}
