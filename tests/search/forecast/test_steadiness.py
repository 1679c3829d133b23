import pytest

from slimtune.measurement.latency import Latency
from slimtune.search.forecast.small_trials import few_images, small_trial
from slimtune.search.forecast.steadiness import REPEATS, Steadiness, steadiness, words
from slimtune.workload.types import Workload


def latency(ms: float, stable: bool = True) -> Latency:
    accepted = 8 if stable else 0
    return Latency(ms=ms, rounds=10, accepted=accepted, stable=stable, threads=1)


def test_int8_that_is_slower_on_this_host_is_said_with_its_noise() -> None:
    found = Steadiness([latency(1.0)] * 3, [latency(1.7), latency(1.6), latency(1.75)])
    assert found.ms == 1.0 and found.stable
    told = found.to_dict()
    assert told["int8_speed"] == pytest.approx(1 / 1.7)
    assert told["int8_spread"] == pytest.approx((1 / 1.6 - 1 / 1.75) * 1.7)
    assert told["latency_accepted_share"] == 0.8 and told["latency_repeats"] == 3
    noise, int8 = words(told)
    assert "80% of the rounds were quiet" in noise
    assert "int8 is 1.7× SLOWER than float32 here (within 9.1%)" in int8


def test_int8_that_is_faster_or_within_the_noise_is_not_called_slower() -> None:
    faster = Steadiness([latency(1.0)] * 2, [latency(0.5), latency(0.51)])
    assert "int8 is 2.0× as fast as float32 here" in words(faster.to_dict())[1]
    unclear = Steadiness([latency(1.0)] * 2, [latency(0.9), latency(1.2)])
    assert "SLOWER" not in words(unclear.to_dict())[1]


def test_nothing_is_said_of_int8_from_unstable_latencies_or_without_a_file() -> None:
    unstable = Steadiness([latency(1.0), latency(1.0, False)], [latency(2.0, False)] * 2)
    assert unstable.to_dict()["int8_speed"] is None
    assert len(words(unstable.to_dict())) == 1
    assert len(words(Steadiness([latency(1.0)]).to_dict())) == 1


def test_a_network_is_measured_beside_its_int8_file(digits: Workload) -> None:
    found = steadiness(digits, small_trial(few_images(digits), {}).onnx)
    assert len(found.latencies) == len(found.int8) == REPEATS
    assert found.ms > 0
