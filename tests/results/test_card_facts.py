import pytest

from slimtune.results.card_facts import CardFacts, code, plain, without_folders
from slimtune.results.final import FinalRow
from slimtune.results.record import TrialRecord

RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={},
    pipeline="p",
    seed=1,
    objectives={"accuracy": 0.9, "latency_ms": 2.0},
    metrics={"params": 10, "latency_stable": True},
)
BASELINE = {
    "objectives": {"accuracy": 0.95, "latency_ms": 3.0},
    "metrics": {"params": 20},
    "test_accuracy": 0.94,
}


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("cat", "`cat`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("", "`  `"),
        ("two\nlines | <b>", "`two lines ¦ <b>`"),
    ],
)
def test_a_name_from_outside_is_one_code_span(text: str, span: str) -> None:
    assert code(text) == span


def test_words_of_ours_hold_no_html() -> None:
    assert plain("a<script> &\n|") == "a&lt;script&gt; &amp; ¦"


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        ("digits", "digits"),
        ("parquet:/home/me/data/cifar10", "parquet:cifar10"),
        ("/secret/place/w.th", "w.th"),
        ("torchvision:resnet18", "torchvision:resnet18"),
        ("./mine.py:build", "./mine.py:build"),
    ],
)
def test_a_card_names_files_without_the_folders_that_lead_there(
    reference: str, short: str
) -> None:
    assert without_folders(reference) == short


def test_values_are_found_wherever_they_were_recorded() -> None:
    facts = CardFacts(RECORD, {"workload": {}, "config": {}}, BASELINE, "run")
    assert facts.of_model("accuracy") == 0.9 and facts.of_model("params") == 10
    assert facts.of_model("latency_stable") is None  # no number
    assert facts.of_baseline("test_accuracy") == 0.94 and facts.of_baseline("params") == 20
    assert facts.test_accuracy is None and facts.setting("data") == ""


def test_latencies_are_of_one_measurement() -> None:
    facts = CardFacts(RECORD, {"workload": {}}, BASELINE, "run")
    assert facts.latencies() == (3.0, 2.0)
    final = FinalRow(trial=3, latency_ms=1.5)
    both = CardFacts(
        RECORD, {"workload": {}}, BASELINE, "run", final, FinalRow(trial=None, latency_ms=2.5)
    )
    assert both.latencies() == (2.5, 1.5)
