"""The model card: what a delivered model is, how good it is, how it was measured, and its limits.

It is Markdown with the front matter of the Hugging Face hub. Names that come from outside
(classes, paths, hosts) are in code spans, in which Markdown and HTML have no effect.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from slimtune.results.delivery.card_classes import classes_part
from slimtune.results.delivery.card_facts import MODES, CardFacts, code, plain, stage_of
from slimtune.results.delivery.card_numbers import numbers_table
from slimtune.results.delivery.card_origin import how_measured, how_repeated

_MOST_CLASSES = 20


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown."""
    parts = [
        _front_matter(facts),
        f"# {_title(facts)}\n",
        _summary(facts),
        "## Numbers\n",
        numbers_table(facts),
        *filter(None, [classes_part(facts)]),
        "## Use\n",
        _use(facts),
        "## Pipeline\n",
        _pipeline(facts),
        "## How it was measured\n",
        how_measured(facts),
        "## Repeat\n",
        how_repeated(facts),
        "## Limits\n",
        _limits(facts),
    ]
    return "\n".join(parts)


def _title(facts: CardFacts) -> str:
    return f"{code(facts.setting('model') or 'network')}: {plain(facts.pipeline)}"


def _front_matter(facts: CardFacts) -> str:
    """Return the hub's metadata. It states no licence: that depends on weights and data."""
    scores = {"validation": facts.model_value("accuracy"), "test": facts.test_accuracy}
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
        **({"library_name": "onnx"} if "model.onnx" in facts.files else {}),
        "pipeline_tag": "image-classification",
        "tags": ["slimtune", "model-compression", *_techniques(facts.recipe)],
        "metrics": ["accuracy"],
        "model-index": [{"name": f"{facts.run}-{facts.record.number}", "results": [result]}],
    }
    text = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def _techniques(recipe: Mapping[str, Any]) -> list[str]:
    words = {"prune": "pruning", "quantize": "quantization", "distill": "distillation"}
    return [word for stage, word in words.items() if stage_of(recipe, stage)[0] != "none"]


def _summary(facts: CardFacts) -> str:
    classes = facts.workload.get("classes", [])
    shown = ", ".join(code(name) for name in classes[:_MOST_CLASSES])
    more = f" and {len(classes) - _MOST_CLASSES} more" if len(classes) > _MOST_CLASSES else ""
    apart = f" It tells {len(classes)} classes apart: {shown}{more}." if classes else ""
    again = f", run again at full length (final {code(facts.final_name)})" * bool(facts.final_name)
    return (
        f"An image classifier for {code(facts.setting('data') or 'its data')}, compressed by "
        f"slimtune: trial {facts.record.number} of the run {code(facts.run)}{again}.{apart}\n"
    )


def _use(facts: CardFacts) -> str:
    shape = facts.workload.get("image_shape")
    parts = []
    if "predict.py" in facts.files:
        channels, height, width = shape  # type: ignore[misc]
        colour = {"L": "grey"}.get(MODES[channels], MODES[channels])
        parts.append(
            "```\npip install numpy pillow onnxruntime\npython predict.py image.png\n```\n\n"
            f"`predict.py` makes the image {colour}, stretches it to {width}×{height} pixels "
            "(bilinear, without keeping the aspect ratio), as the training images were made, and "
            "prints the class and its probability.\n"
        )
    if shape and "model.onnx" in facts.files:
        parts.append(
            f"`model.onnx` takes `images`, uint8 (n, {', '.join(map(str, shape))}): pixels 0..255 "
            f"as they are; the model normalises them itself{_normalised(facts)}. It gives "
            "`logits`, "
            "float32, one per class in the order of `labels.txt`.\n"
        )
    if "model.safetensors" in facts.files:
        parts.append(_use_in_torch(facts, shape))
    return "\n".join(parts)


def _normalised(facts: CardFacts) -> str:
    """Return the mean and deviation and their origin; empty if the run does not record them."""
    words = facts.workload.get("normalisation")
    return f", by {code(words)}" if isinstance(words, str) and words else ""


def _use_in_torch(facts: CardFacts, shape: Sequence[int] | None) -> str:
    own = facts.own_network
    handed_in = own in facts.objects
    consent = ", model=..." if handed_in else ", allow_code=True" if own else ""
    text = (
        "In PyTorch, with slimtune and without pickle:\n\n```python\n"
        f'import slimtune\n\nnet = slimtune.load_model("."{consent})  # this folder\n```\n\n'
    )
    if handed_in:
        text += (
            f"The network was handed in as a Python object, called {code(own.split(':')[1])}: "
            "give the function, class or module that makes it as `model`.\n\n"
        )
    elif own:
        text += (
            f"The network is built by {code(own)}, which is not in this folder: have it in the "
            'current folder, or name it with `model="FILE.py:NAME"`. Loading it runs it.\n\n'
        )
    size = f" (n, {', '.join(map(str, shape))})" if shape else ""
    return text + (
        f"It takes float32{size}: `(pixels / 255 - mean) / std`, a channel's `mean` and `std` "
        f"from `labels.json`{_normalised(facts)}. It gives the logits, computed in float.\n"
    )


def _pipeline(facts: CardFacts) -> str:
    """Return the stages in the order of the work; `recipe.yaml` has every setting."""
    recipe, lines = facts.recipe, []
    for stage in ("student", "prune", "quantize", "distill", "train"):
        name, settings = stage_of(recipe, stage)
        if name in ("none", "baseline"):
            continue
        if stage == "train" and not _trained(recipe):
            lines.append("- not fine-tuned")
            continue
        setting_text = ", ".join(
            f"{key} {value}" for key, value in settings.items() if value not in (None, "")
        )
        words = ": ".join(code(part) for part in (name, setting_text) if part)
        if stage == "distill":
            words += f", taught by {_teacher(facts)}"
        if words:
            lines.append(f"- {stage}: {words}")
    lines += [*_order(recipe), *facts.file_notes()]
    return f"{plain(facts.pipeline)}\n\n" + "\n".join(lines) + "\n"


def _trained(recipe: Mapping[str, Any]) -> bool:
    """Return whether any stage trained the network."""
    prune, quantize, train = (stage_of(recipe, s)[1] for s in ("prune", "quantize", "train"))
    steps = prune.get("step_epochs") if prune.get("schedule") == "incremental" else 0
    epochs = (steps, prune.get("sparsity_epochs"), quantize.get("epochs"))
    return train.get("epochs") != 0 or any(epochs)


def _teacher(facts: CardFacts) -> str:
    named = facts.setting("teacher")
    return code(named) if named else "the baseline"


def _order(recipe: Mapping[str, Any]) -> list[str]:
    """Return the line on the order of the stages, if both pruning and quantization were done."""
    methods = {stage: stage_of(recipe, stage)[0] for stage in ("prune", "quantize", "distill")}
    if "none" in (methods["prune"], methods["quantize"]):
        return []
    tuned = stage_of(recipe, "train")[1].get("epochs") != 0
    order = f"pruned, {'fine-tuned, ' * tuned}then quantized"
    if recipe.get("order") == "spq":
        order = "quantized first, pruned while the quantized network was trained"
    taught = "" if methods["distill"] == "none" else "; distilled in every fine-tuning"
    return [f"- order: {order}{taught}"]


def _limits(facts: CardFacts) -> str:
    lines = [
        "- Probabilities are the softmax of the logits and have not been calibrated.",
        "- Images unlike the training images (other cameras, other classes) also get a class, "
        "often with a high probability.",
        "- Latency on another processor differs, and so may the ranking against the baseline.",
        f"- How accurate the model is on {'' if classes_part(facts) else 'single classes, or on '}"
        "groups of images is not stated here; errors may concentrate in one.",
        "- No licence is stated here: the licences of the baseline's weights and of the data "
        "apply.",
    ]
    if facts.rounds_activations:
        lines.insert(
            2,
            "- Activations are rounded to 8 bits; on a processor without the same integer "
            "instructions single logits may differ in their last digits.",
        )
    return "\n".join(lines) + "\n"
