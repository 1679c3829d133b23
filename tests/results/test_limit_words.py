import pytest

from slimtune.results.limit_words import limit_amount, limit_words, limits_words
from slimtune.results.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("300kB", "300 kB"),
        ("0.3 MB", "0.3 MB"),
        ("292.96875KiB", "293 KiB"),
        ("300000b", "300000 B"),
        ("0.25x", "293 KiB"),
        ("-20%", "293 KiB"),
        ("", "293 KiB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_the_limit_was_given_in(text, told):
    assert limit_amount(OBJECTIVES["size_bytes"], 300_000, text) == told


def test_a_latency_keeps_its_unit_too_and_other_quantities_have_their_own():
    assert limit_words("latency_ms", 1.5, "1500us") == "latency <= 1500 us"
    assert limit_words("latency_ms", 1.5, "0.5x") == "latency <= 1.5 ms"
    assert limit_words("accuracy", 0.97413) == "accuracy >= 0.9741"
    assert limit_words("macs", 2e6) == "MACs <= 2e+06 MAC"


def test_limits_against_the_baseline_are_told_with_what_was_asked_for():
    limits = {"accuracy": 0.9741, "size_bytes": 300_000.0, "latency_ms": 2.0}
    texts = {"accuracy": "-1%", "size_bytes": "300kB"}
    assert (
        limits_words(limits, texts) == "accuracy >= 0.9741 (-1%), size <= 300 kB, latency <= 2 ms"
    )
    assert limits_words({}, {}) == ""
