import dataclasses
import re

import pytest
import yaml

from slimtune.conditions import Conditions
from slimtune.results.delivery.card import model_card
from slimtune.results.delivery.card_facts import CardFacts
from slimtune.results.store.final import FinalRow
from slimtune.results.store.record import TrialRecord

HOSTILE = "<script>alert(1)</script> | `x`\n# heading"
RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={
        "prune": {"method": "l1", "amount": 0.5},
        "quantize": "apot",
        "distill": {"method": "none"},
        "order": "spq",
    },
    pipeline="l1 50% with apot 4b",
    conditions=Conditions(seed=11),
    objectives={"accuracy": 0.9, "size_bytes": 2048.0, "latency_ms": 1.0},
    host={"cpu": HOSTILE, "onnxruntime": "1.31"},
)
MANIFEST = {
    "config": {"model": "resnet8", "data": f"folder:/home/me/{HOSTILE}", "weights": "/a/w.th"},
    "workload": {"classes": [HOSTILE, "dog"], "image_shape": [3, 10, 12], "test": 50},
}
FILES = ("model.onnx", "model.safetensors", "predict.py")


def card(**changes: object) -> str:
    facts = {
        "record": RECORD,
        "manifest": MANIFEST,
        "baseline": {"objectives": {"accuracy": 0.95}},
        "run": "demo",
        "final": FinalRow(trial=3, test_accuracy=0.88, latency_ms=0.5, stable=False),
        "baseline_final": FinalRow(trial=None, latency_ms=1.0),
        "files": FILES,
    }
    return model_card(CardFacts(**{**facts, **changes}))  # type: ignore[arg-type]


def test_the_front_matter_is_the_hubs() -> None:
    _, matter, body = card().split("---\n", 2)
    found = yaml.safe_load(matter)
    assert found["pipeline_tag"] == "image-classification" and found["library_name"] == "onnx"
    assert found["tags"] == ["slimtune", "model-compression", "pruning", "quantization"]
    metrics = found["model-index"][0]["results"][0]["metrics"]
    assert {m["name"]: m["value"] for m in metrics} == {
        "validation accuracy": 0.9,
        "test accuracy": 0.88,
    }
    assert body.lstrip().startswith("# `resnet8`: l1 50% with apot 4b")


def test_every_part_is_there() -> None:
    text = card()
    for heading in ("Numbers", "Use", "Pipeline", "How it was measured", "Repeat", "Limits"):
        assert f"\n## {heading}\n" in text
    assert "RGB, stretches it to 12×10 pixels" in text
    assert "uint8 (n, 3, 10, 12)" in text
    assert "quantized first, pruned while" in text
    assert "too busy for a stable latency" in text
    assert "The trial's seed is 11" in text
    assert "slimtune.load_model" in text and "rounded to 8 bits" in text


def test_names_from_outside_are_text_and_folders_stay_at_home() -> None:
    text = card()
    body = text.split("---\n", 2)[2]
    outside_spans = re.sub(r"(`+)(.+?)\1", "", body, flags=re.DOTALL)
    assert "<script>" not in outside_spans
    assert "\n# heading" not in body
    assert "/home/me" not in text and "/a/" not in text and "--weights w.th" in text


def test_what_is_not_delivered_is_not_explained() -> None:
    text = card(files=("model.safetensors",), final=None, baseline_final=None)
    assert "predict.py" not in text and "too busy" not in text
    assert "slimtune.load_model" in text
    assert "slimtune.load_model" not in card(files=("model.onnx", "predict.py"))


def with_recipe(recipe: dict, **changes: object) -> str:
    pipeline = changes.pop("pipeline", "words")
    record = dataclasses.replace(RECORD, recipe=recipe, pipeline=pipeline)
    return card(record=record, **changes)


PRUNE, QUANTIZE = {"method": "l1", "amount": 0.5}, {"method": "int8_static"}
TAUGHT = {"method": "base", "alpha": 0.5}


@pytest.mark.parametrize(
    ("recipe", "order"),
    [
        ({"quantize": QUANTIZE}, None),
        ({"prune": PRUNE, "distill": TAUGHT}, None),
        ({"prune": {"method": "none"}, "quantize": QUANTIZE, "order": "ppq"}, None),
        ({"prune": PRUNE, "quantize": QUANTIZE}, "pruned, fine-tuned, then quantized"),
        (
            {"prune": PRUNE, "quantize": QUANTIZE, "distill": TAUGHT},
            "pruned, fine-tuned, then quantized; distilled in every fine-tuning",
        ),
        (
            {"prune": PRUNE, "quantize": QUANTIZE, "train": {"epochs": 0}},
            "pruned, then quantized",
        ),
        (
            {"prune": PRUNE, "quantize": "apot", "order": "spq"},
            "quantized first, pruned while the quantized network was trained",
        ),
    ],
)
def test_the_order_is_told_where_there_is_one(recipe: dict, order: str | None) -> None:
    lines = [line for line in with_recipe(recipe).splitlines() if line.startswith("- order")]
    assert lines == ([f"- order: {order}"] if order else [])


def test_the_limit_of_rounded_activations_follows_what_the_file_computes() -> None:
    assert "rounded to 8 bits" in with_recipe({"quantize": "rtn"})
    for exact in ("none", "float16", {"method": "gpfq", "activation_bits": 32}):
        assert "rounded to 8 bits" not in with_recipe({"quantize": exact})


@pytest.mark.parametrize(("channels", "colour"), [(1, "grey"), (3, "RGB"), (4, "RGBA")])
def test_the_colour_is_the_one_that_the_script_makes(channels: int, colour: str) -> None:
    workload = {**MANIFEST["workload"], "image_shape": [channels, 10, 12]}
    assert f"makes the image {colour}," in card(manifest={**MANIFEST, "workload": workload})


def test_the_users_folders_stay_at_home_wherever_code_is_named() -> None:
    net, data = "/home/bob/p/net.py:make", "/home/bob/p/data.py:load"
    manifest = {
        "config": {"model": net, "data": data, "weights": "/home/bob/w:1/w.th"},
        "workload": {
            **MANIFEST["workload"],
            "architecture": {"name": net},
            "code": {net: "a", data: "b"},
        },
    }
    student = {"model": "/home/bob/p/small.py:make", "weights": "/home/bob/s.th"}
    recipe = {"student": student, "quantize": QUANTIZE}
    text = with_recipe(recipe, manifest=manifest, pipeline=f"{student['model']} → int8_static")
    assert "/home" not in text and "bob" not in text
    assert "# `net.py:make`: small.py:make → int8_static" in text
    assert "- student: `small.py:make`: `weights s.th`" in text
    assert "--model net.py:make --weights w.th --data data.py:load" in text


def test_a_network_of_the_users_own_is_loaded_with_consent() -> None:
    net = "/home/bob/net.py:make"
    own = {**MANIFEST["workload"], "architecture": {"name": net}, "code": {net: "a"}}
    text = card(manifest={**MANIFEST, "workload": own})
    assert 'slimtune.load_model(".", allow_code=True)' in text
    assert "built by `net.py:make`, which is not in this folder" in text
    assert "allow_code" not in card()


def test_a_file_that_is_not_delivered_is_not_called_this_one() -> None:
    text = card(files=("model.safetensors",))
    assert "this very" not in text and "`model.onnx` takes" not in text
    assert "evaluate model.onnx" not in text and "library_name" not in text


def test_a_final_is_repeated_and_named_as_that_final() -> None:
    text = card(final=FinalRow(trial=3, test_accuracy=0.88, final="0003-e30-r1"))
    assert "rerun runs/demo --final 0003-e30-r1 --check" in text
    assert "--trial 3 --check" not in text
    assert "run again at full length (final `0003-e30-r1`)" in text
    assert "rerun runs/demo --trial 3 --check" in card()


def test_the_host_that_measured_the_latency_is_told_where_it_is_not_the_trainer() -> None:
    worker = {"name": "worker", "cpu": "EPYC", "platform": "Linux"}
    apart = dataclasses.replace(RECORD, host=worker, metrics={"latency_host": "reference"})
    told = "Trained on `worker`: `EPYC`, `Linux`; latency measured on `reference`."
    assert told in card(record=apart)
    same = dataclasses.replace(RECORD, host=worker, metrics={"latency_host": "worker"})
    assert "- Host: `EPYC`, `Linux`." in card(record=same)


def test_who_taught_is_told() -> None:
    recipe = {"distill": TAUGHT}
    assert "- distill: `base`: `alpha 0.5`, taught by the baseline\n" in with_recipe(recipe)
    config = {**MANIFEST["config"], "teacher": "/home/bob/big.py:make"}
    text = with_recipe(recipe, manifest={**MANIFEST, "config": config})
    assert ", taught by `big.py:make`\n" in text


def test_settings_of_a_training_that_did_not_take_place_are_not_told() -> None:
    untrained = {"epochs": 0, "lr": 0.5}
    assert "- not fine-tuned\n" in with_recipe({"quantize": QUANTIZE, "train": untrained})
    learned = {"method": "apot", "epochs": 3}
    text = with_recipe({"quantize": learned, "train": untrained})
    assert "not fine-tuned" not in text and "- train: `epochs 0, lr 0.5`\n" in text
    in_steps = {"method": "l1", "schedule": "incremental", "step_epochs": 1}
    assert "lr 0.5" in with_recipe({"prune": in_steps, "train": untrained})


def test_the_card_names_the_normalisation_that_the_file_holds() -> None:
    words = "half: mean 0.5, std 0.5 (as given)"
    manifest = {**MANIFEST, "workload": {**MANIFEST["workload"], "normalisation": words}}
    assert card(manifest=manifest).count(f"by `{words}`") == 2
    assert "by itself. It gives" in card()  # of a run that does not tell
