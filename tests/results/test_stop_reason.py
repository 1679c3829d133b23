import pytest

from slimtune.results.stop_reason import (
    behind_reason,
    group_of,
    hopeless_reason,
    kind_of,
    limit_reason,
    rung_words,
    stopped_words,
)


@pytest.mark.parametrize(
    ("rung", "words"),
    [
        ("structure", "before training"),
        ("fine-tune 1/4", "after epoch 1 of 4 (fine-tune)"),
        ("fine-tune", "after the last epoch (fine-tune)"),
        ("recover 1 of 3 2/4", "after epoch 2 of 4 (recover 1 of 3)"),
        ("quantized fine-tune 2/30", "after epoch 2 of 30 (quantized fine-tune)"),
    ],
)
def test_a_rung_says_when_it_is(rung, words):
    assert rung_words(rung) == words


REASONS = {
    "behind": (
        "fine-tune 2/4: dominated by 1 of 5 peers, 4 of them by fewer",
        f"{rung_words('fine-tune 2/4')}: {behind_reason(4, 5)}",
        "stopped after epoch 2 of 4 (fine-tune): 4 of 5 comparable trials were better",
    ),
    "limit": (
        "structure: size_bytes 409600 is over the limit 307200",
        f"{rung_words('structure')}: {limit_reason('size_bytes', 409600, 307200)}",
        "stopped before training: size 400 KiB is over the limit of 300 KiB",
    ),
    "hopeless": (
        "structure: trial 7 dominates it even with accuracy 0.95",
        f"{rung_words('structure')}: {hopeless_reason(7, 0.95)}",
        "stopped before training: trial 7 is better even if this one reached an accuracy of 0.95",
    ),
}


@pytest.mark.parametrize("kind", REASONS)
def test_old_and_new_records_are_told_alike(kind):
    old, new, words = REASONS[kind]
    assert stopped_words(old) == stopped_words(new) == words
    assert kind_of(old) == kind_of(new) == kind
    assert group_of(old) == group_of(new)


def test_a_limit_is_told_in_the_unit_it_was_written_in():
    assert limit_reason("latency_ms", 1.8, 1.5, "1500us") == (
        "latency 1800 us is over the limit of 1500 us"
    )
    reason = f"before training: {limit_reason('size_bytes', 400_000, 300_000, '300kB')}"
    assert kind_of(reason) == "limit"
    assert group_of(reason) == "before training: size over the limit of 300 kB"


def test_groups_leave_the_numbers_out_and_keep_the_point_in_time():
    first, second = (f"after epoch 1 of 4 (fine-tune): {behind_reason(n, 9)}" for n in (5, 8))
    assert group_of(first) == group_of(second)
    assert group_of(first) == (
        "after epoch 1 of 4 (fine-tune): most of the comparable trials were better"
    )
    assert group_of(first) != group_of(f"after epoch 2 of 4 (fine-tune): {behind_reason(5, 9)}")


@pytest.mark.parametrize("reason", ["too slow", "a: b", "structure: who knows", None])
def test_any_other_reason_is_told_as_it_is(reason):
    assert stopped_words(reason) == f"stopped: {reason or 'no reason was recorded'}"
    assert kind_of(reason) == "other"
    assert group_of(reason) == (reason or "no reason was recorded")
