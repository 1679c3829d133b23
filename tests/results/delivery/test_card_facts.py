import dataclasses

import pytest

from slimtune.conditions import Conditions
from slimtune.results.delivery.card_facts import CardFacts, code, plain, stage_of
from slimtune.results.store.joint import JointRow
from slimtune.results.store.record import TrialRecord

RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={},
    pipeline="p",
    conditions=Conditions(seed=1),
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


def test_values_are_found_wherever_they_were_recorded() -> None:
    facts = CardFacts(RECORD, {"workload": {}, "config": {}}, BASELINE, "run")
    assert facts.model_value("accuracy") == 0.9 and facts.model_value("params") == 10
    assert facts.model_value("latency_stable") is None  # no number
    assert facts.baseline_value("test_accuracy") == 0.94 and facts.baseline_value("params") == 20
    assert facts.test_accuracy is None and facts.setting("data") == ""


def test_latencies_are_of_one_measurement() -> None:
    facts = CardFacts(RECORD, {"workload": {}}, BASELINE, "run")
    assert facts.latencies() == (3.0, 2.0)
    final = JointRow(trial=3, latency_ms=1.5)
    both = CardFacts(
        RECORD, {"workload": {}}, BASELINE, "run", final, JointRow(trial=None, latency_ms=2.5)
    )
    assert both.latencies() == (2.5, 1.5)


def of_recipe(recipe: dict, metrics: dict | None = None, code: tuple = ()) -> CardFacts:
    record = dataclasses.replace(RECORD, recipe=recipe, metrics=metrics or {})
    workload = {"architecture": {"name": "resnet8"}, "code": dict.fromkeys(code, "ab")}
    return CardFacts(record, {"workload": workload, "config": {}}, {}, "run")


@pytest.mark.parametrize(
    ("quantize", "rounded"),
    [
        ({"method": "none"}, False),
        ("float16", False),
        ("int8_static", True),
        ("rtn", True),
        ({"method": "rtn", "bits": 4, "activation_bits": 8}, True),
        ({"method": "gpfq", "bits": 4, "activation_bits": 32}, False),
        ({"method": "apot", "activation_bits": 4}, True),
    ],
)
def test_activations_are_rounded_as_the_recipe_says(quantize: object, rounded: bool) -> None:
    assert of_recipe({"quantize": quantize}).rounds_activations is rounded


def test_what_the_trial_recorded_of_its_activations_is_believed() -> None:
    own = {"quantize": {"method": "power_of_two", "bits": 4}}  # of the user's own
    assert not of_recipe(own, {"activations": "float"}).rounds_activations
    assert of_recipe(own, {"activations": "dynamic"}).rounds_activations


def test_a_student_of_the_users_own_is_named_without_its_folder() -> None:
    code = "/home/bob/net.py:make"
    facts = of_recipe({"student": {"model": code, "weights": None}}, code=(code,))
    assert facts.own_network == "net.py:make"
    assert facts.recipe["student"]["model"] == "net.py:make"
    assert of_recipe({"student": {"model": "baseline"}}, code=(code,)).own_network == ""


def test_a_stage_is_a_word_or_a_mapping() -> None:
    recipe = {"prune": "l1", "quantize": {"method": "rtn", "bits": 4}, "train": {"epochs": 2}}
    assert stage_of(recipe, "prune") == ("l1", {})
    assert stage_of(recipe, "quantize") == ("rtn", {"bits": 4})
    assert stage_of(recipe, "distill") == ("none", {})
    assert stage_of(recipe, "train") == ("", {"epochs": 2})


def test_what_the_file_holds_besides_the_recipe_is_told_and_old_records_tell_nothing() -> None:
    known = {
        "weights_float32": 0.125,
        "layers_float32": "head | x",
        "activation_ranges": "min/max of 512 training images",
    }
    record = dataclasses.replace(RECORD, metrics=known)
    lines = CardFacts(record, {"workload": {}, "config": {}}, BASELINE, "run").file_notes()
    assert "12.5% of the weights, in `head ¦ x`" in lines[0]
    assert lines[1] == "- ranges of activations: min/max of 512 training images"
    assert CardFacts(RECORD, {"workload": {}, "config": {}}, BASELINE, "run").file_notes() == []
