from dataclasses import replace

from slimtune.conditions import Conditions
from slimtune.results.delivery.card_facts import CardFacts
from slimtune.results.delivery.card_numbers import numbers_table
from slimtune.results.store.final import FinalRow
from slimtune.results.store.record import TrialRecord

RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={},
    pipeline="p",
    conditions=Conditions(seed=1),
    objectives={"accuracy": 0.9, "size_bytes": 2048.0},
)
BASELINE = {"objectives": {"accuracy": 0.95, "size_bytes": 4096.0}, "test_accuracy": 0.94}


def test_the_model_stands_beside_its_baseline_with_intervals_and_ratios() -> None:
    workload = {"validation": 100, "test": 200}
    table = numbers_table(
        CardFacts(
            RECORD, {"workload": workload}, BASELINE, "run", FinalRow(trial=3, test_accuracy=0.89)
        )
    )
    assert "| accuracy, validation | 0.9500 [0.8882, 0.9785], n = 100 |" in table
    assert "0.8900 [0.8391, 0.9262], n = 200 |" in table
    assert "| size of model.onnx | 4.0 KiB | 2.0 KiB (2.0× less) |" in table
    assert "| latency, one image, one thread | not measured | not measured |" in table
    assert "Wilson" in table and "flatters" in table


def test_without_the_number_of_images_there_is_no_interval() -> None:
    table = numbers_table(CardFacts(RECORD, {"workload": {}}, BASELINE, "run"))
    assert "| accuracy, validation | 0.9500 | 0.9000 |" in table
    assert "| accuracy, test | 0.9400 | not measured |" in table
    assert "Wilson" not in table


def test_a_latency_that_may_be_too_high_is_marked_and_no_ratio_is_claimed() -> None:
    final, base = FinalRow(trial=3, latency_ms=0.5), FinalRow(trial=None, latency_ms=1.0)

    def latency(final: FinalRow, base: FinalRow) -> str:
        table = numbers_table(CardFacts(RECORD, {"workload": {}}, BASELINE, "run", final, base))
        return next(line for line in table.splitlines() if "latency" in line)

    assert "| 1 ms | 0.5 ms (2.0× less) |" in latency(final, base)
    assert "| 1 ms | 0.5 ms ~ |" in latency(replace(final, stable=False), base)
    assert "| 1 ms ~ | 0.5 ms |" in latency(final, replace(base, stable=False))
