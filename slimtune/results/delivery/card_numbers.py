"""The numbers of a model card: the model beside its baseline."""

from collections.abc import Callable

from slimtune.results.delivery.card_facts import CardFacts
from slimtune.results.interval import wilson
from slimtune.results.units import accuracy, count, latency, size, times

_Show = Callable[[float], str]


def numbers_table(facts: CardFacts) -> str:
    """Return the table of measurements, with the baseline beside the model."""
    rows = [
        (
            "accuracy, validation",
            _share(facts.baseline_value("accuracy"), facts.workload.get("validation")),
            _share(facts.model_value("accuracy"), facts.workload.get("validation")),
        ),
        (
            "accuracy, test",
            _share(facts.baseline_value("test_accuracy"), facts.workload.get("test")),
            _share(facts.test_accuracy, facts.workload.get("test")),
        ),
        _row(facts, "size of model.onnx", "size_bytes", size),
        ("latency, one image, one thread", *_latencies(facts)),
        _row(facts, "parameters", "params", count),
        _row(facts, "multiply-adds an image (MACs)", "macs", count),
    ]
    lines = ["| | baseline | this model |", "|---|---|---|"]
    lines += [f"| {name} | {before} | {after} |" for name, before, after in rows]
    text = "\n".join(lines)
    if any("[" in after for _, _, after in rows):
        text += (
            "\n\nIn brackets, the 95 % score interval (Wilson) of that many images. The model was "
            "chosen by its accuracy on the validation images, so that number is a little "
            "optimistic. Nothing was chosen on the test images."
        )
    return text + "\n"


def _row(facts: CardFacts, title: str, key: str, show: _Show) -> tuple[str, str, str]:
    return (title, *_ratio(facts.baseline_value(key), facts.model_value(key), show))


def _ratio(before: float | None, after: float | None, show: _Show) -> tuple[str, str]:
    first, second = (("not measured" if v is None else show(v)) for v in (before, after))
    if before and after and after < before:
        second += f" ({times(before / after)} less)"
    return first, second


def _latencies(facts: CardFacts) -> tuple[str, str]:
    """Return both latencies, with their ratio only if both are stable."""
    if all(facts.stable()):
        return _ratio(*facts.latencies(), latency)
    first, second = (
        "not measured" if ms is None else latency(ms, stable)
        for ms, stable in zip(facts.latencies(), facts.stable(), strict=True)
    )
    return first, second


def _share(value: float | None, images: object) -> str:
    if value is None:
        return "not measured"
    if not isinstance(images, int) or images < 1:
        return accuracy(value)
    low, high = wilson(value, images)
    return f"{accuracy(value)} [{accuracy(low)}, {accuracy(high)}], n = {images}"
