import pytest

from slimtune.errors import UserError
from slimtune.results.parsing import parse_duration, parse_latency, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500KiB", 512_000),
        ("500kB", 500_000),
        ("1.5 MB", 1_500_000),
        (" 2MiB ", 2_097_152),
        ("1gib", 1_073_741_824),
        (".5KiB", 512),
        ("7B", 7),
        ("1.5B", 1),
    ],
)
def test_a_size_is_read_in_bytes_rounded_down(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "ms"),
    [("2ms", 2), ("0.25 ms", 0.25), ("500us", 0.5), ("500µs", 0.5), ("500μs", 0.5), ("2s", 2000)],
)
def test_a_latency_is_read_in_milliseconds(text, ms):
    assert parse_latency(text) == pytest.approx(ms, rel=1e-12)


@pytest.mark.parametrize(("parse", "example"), [(parse_latency, "2ms"), (parse_size, "500KiB")])
def test_a_number_without_a_unit_is_refused_with_an_example(parse, example):
    with pytest.raises(UserError, match=f"give a unit, e.g. {example}"):
        parse("2")


@pytest.mark.parametrize(
    "text", ["", "ms", "-2ms", "0ms", "nan ms", "1e3ms", "2 parsecs", "2 m s", "1.2.3ms", "٢ms"]
)
def test_what_is_no_latency_is_refused(text):
    with pytest.raises(UserError):
        parse_latency(text)


@pytest.mark.parametrize("text", ["", "KiB", "-1KiB", "0B", "0.5B", "5 KiBs", "9" * 400 + "MB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UserError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("90 s", 90), ("1h30m", 5400), ("1 h 30 min", 5400), ("0.5d", 43200)],
)
def test_a_duration_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["10", "1h30", "0s", "soon", "", "-5m", "5ms", "1.2.3s", "m"])
def test_what_is_no_duration_is_refused_in_one_line(text):
    with pytest.raises(UserError) as caught:
        parse_duration(text)
    assert "\n" not in str(caught.value)
