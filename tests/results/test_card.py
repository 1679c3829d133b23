import re

import yaml

from slimtune.results.card import model_card
from slimtune.results.card_facts import CardFacts
from slimtune.results.final import FinalRow
from slimtune.results.record import TrialRecord

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
    seed=11,
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
    assert "rerun runs/demo --trial 3 --check" in text
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
