"""The model card: what a delivered model is, how good, how measured, and what it is not for.

Markdown with the front matter of the Hugging Face hub. Names that come from outside (classes,
paths, hosts) stand in code spans, where Markdown and HTML mean nothing.
"""

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from slimtune.results.card_facts import CardFacts, code, plain
from slimtune.results.card_numbers import numbers_table
from slimtune.results.record import TrialRecord

_MOST_CLASSES = 20


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown."""
    parts = [
        _front_matter(facts),
        f"# {_title(facts)}\n",
        _summary(facts),
        "## Numbers\n",
        numbers_table(facts),
        "## Use\n",
        _use(facts),
        "## Pipeline\n",
        _pipeline(facts.record),
        "## How it was measured\n",
        _measurement(facts),
        "## Repeat\n",
        _repeat(facts),
        "## Limits\n",
        _limits(facts),
    ]
    return "\n".join(parts)


def _title(facts: CardFacts) -> str:
    return f"{code(facts.setting('model') or 'network')}: {plain(facts.record.pipeline)}"


def _front_matter(facts: CardFacts) -> str:
    """Return the hub's metadata. No licence: that of weights and data decides, not we."""
    scores = {"validation": facts.of_model("accuracy"), "test": facts.test_accuracy}
    metrics = [
        {"type": "accuracy", "name": f"{split} accuracy", "value": score}
        for split, score in scores.items()
        if score is not None
    ]
    data = facts.setting("data") or "unknown"
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": data, "type": data},
        "metrics": metrics,
    }
    matter = {
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["slimtune", "model-compression", *_techniques(facts.record.recipe)],
        "metrics": ["accuracy"],
        "model-index": [{"name": f"{facts.run}-{facts.record.number}", "results": [result]}],
    }
    text = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def _techniques(recipe: Mapping[str, Any]) -> list[str]:
    words = {"prune": "pruning", "quantize": "quantization", "distill": "distillation"}
    return [word for stage, word in words.items() if _method(recipe, stage) != "none"]


def _method(recipe: Mapping[str, Any], stage: str) -> str:
    value = recipe.get(stage, "none")
    return str(value.get("method", "none")) if isinstance(value, Mapping) else str(value)


def _summary(facts: CardFacts) -> str:
    classes = facts.workload.get("classes", [])
    shown = ", ".join(code(name) for name in classes[:_MOST_CLASSES])
    more = f" and {len(classes) - _MOST_CLASSES} more" if len(classes) > _MOST_CLASSES else ""
    told = f" It tells {len(classes)} classes apart: {shown}{more}." if classes else ""
    return (
        f"An image classifier for {code(facts.setting('data') or 'its data')}, made smaller and "
        f"faster by slimtune: trial {facts.record.number} of the run {code(facts.run)}.{told}\n"
    )


def _use(facts: CardFacts) -> str:
    shape = facts.workload.get("image_shape")
    text = ""
    if "predict.py" in facts.files:
        channels, height, width = shape  # type: ignore[misc]
        colour = "grey" if channels == 1 else "RGB"
        text += (
            "```\npip install numpy pillow onnxruntime\npython predict.py image.png\n```\n\n"
            f"`predict.py` makes the image {colour}, stretches it to {width}×{height} pixels "
            "(bilinear, without keeping the aspect ratio), as the training images were made, and "
            "prints the class and its probability.\n\n"
        )
    if shape:
        text += (
            f"`model.onnx` takes `images`, uint8 (n, {', '.join(map(str, shape))}): pixels 0..255 "
            "as they are, it normalises them by itself. It gives `logits`, float32, one a class "
            "in the order of `labels.txt`.\n\n"
        )
    if "model.safetensors" in facts.files:
        text += (
            "In PyTorch, with the channels really gone and without pickle:\n\n```python\n"
            'import slimtune\n\nnet = slimtune.load_model(".")  # this folder\n```\n\n'
            "It takes float images that are normalised with `mean` and `std` of `labels.json`.\n"
        )
    return text


def _pipeline(record: TrialRecord) -> str:
    """Return the stages in the order of the work; `recipe.yaml` has every setting."""
    lines = []
    for stage in ("student", "prune", "quantize", "distill", "train"):
        value = record.recipe.get(stage)
        settings = {"method": value} if isinstance(value, str) else dict(value or {})
        name = settings.pop("method", None) or settings.pop("model", None)
        if name in ("none", "baseline"):
            continue
        told = ", ".join(
            f"{key} {value}" for key, value in settings.items() if value not in (None, "")
        )
        words = ": ".join(code(part) for part in (name, told) if part)
        if words:
            lines.append(f"- {stage}: {words}")
    order = record.recipe.get("order", "ppq")
    if order == "spq":
        lines.append("- order: quantized first, pruned while the quantized network was trained")
    else:
        lines.append("- order: pruned, fine-tuned, then quantized; distilled in every fine-tuning")
    return f"{plain(record.pipeline)}\n\n" + "\n".join(lines) + "\n"


def _measurement(facts: CardFacts) -> str:
    host = facts.record.host or facts.manifest.get("host", {})
    versions = ", ".join(
        f"{name} {host[name]}" for name in ("slimtune", "torch", "onnxruntime") if name in host
    )
    together = facts.final is not None and facts.final.latency_ms is not None
    lines = [
        "- Accuracy, size and latency are those of this very `model.onnx` under ONNX Runtime.",
        f"- Host: {code(host.get('cpu', 'unknown'))}, {code(host.get('platform', 'unknown'))}.",
        f"- Versions: {code(versions or 'unknown')}.",
        "- Latency: the fastest run among rounds in which a fixed probe found the machine at full "
        "speed, batch of 1, one thread"
        + (", measured in turn with the baseline while no trial ran." if together else "."),
    ]
    if facts.final is not None and not facts.final.stable:
        lines.append("- The machine was too busy for a stable latency: measure it again.")
    return "\n".join(lines) + "\n"


def _repeat(facts: CardFacts) -> str:
    data, number, seed = facts.setting("data"), facts.record.number, facts.record.seed
    run = shlex.quote(f"runs/{facts.run}")
    weights = facts.setting("weights")
    given = f" --weights {shlex.quote(weights)}" if weights else ""
    lines = [
        f"slimtune rerun {run} --trial {number} --check       # same bytes, where the run is",
        f"slimtune export {run} --trial {number} --verify -o again",
        f"slimtune evaluate model.onnx --data {shlex.quote(data)}",
        "# the same recipe on another baseline:",
        f"slimtune compress --recipe recipe.yaml --model {shlex.quote(facts.setting('model'))}"
        f"{given} --data {shlex.quote(data)} -o again",
    ]
    return (
        "```\n" + "\n".join(lines) + "\n```\n\n"
        f"The trial's seed is {seed}. Paths are shortened to their last part.\n"
    )


def _limits(facts: CardFacts) -> str:
    lines = [
        "- Probabilities are the softmax of the logits and have not been calibrated.",
        "- Images unlike the training images (other cameras, other classes) get a class as well, "
        "and often a high probability.",
        "- Latency on another processor differs, and so may the ranking against the baseline.",
        "- Accuracy on groups of images was not looked at; errors may gather in one class.",
        "- No licence is stated here: that of the baseline's weights and of the data holds.",
    ]
    if _method(facts.record.recipe, "quantize") not in ("none", "float16", "rtn"):
        lines.insert(
            2,
            "- Activations are rounded to 8 bits; on a processor without the same integer "
            "instructions single logits may differ in their last digits.",
        )
    return "\n".join(lines) + "\n"
