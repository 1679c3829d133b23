"""Where a model card's numbers come from, and the commands that repeat the work."""

import shlex
from collections.abc import Mapping
from typing import Any

from slimtune.results.delivery.card_facts import CardFacts, code, stage_of
from slimtune.results.units import accuracy


def how_measured(facts: CardFacts) -> str:
    """Return how, where and with which versions the model was measured, as a list."""
    host = _trained_on(facts)
    versions = ", ".join(
        f"{name} {host[name]}" for name in ("slimtune", "torch", "onnxruntime") if name in host
    )
    this = "this very `model.onnx`"
    if "model.onnx" not in facts.files:
        this = "the `model.onnx` that the run has beside this network"
    lines = [
        f"- Accuracy, size and latency are those of {this} under ONNX Runtime.",
        *_repeats(facts),
        f"- {_hosts(facts)}",
        f"- Versions: {code(versions or 'unknown')}.",
        "- Latency: the fastest run among rounds in which a fixed probe found the machine at full "
        "speed, batch of 1, one thread"
        + (
            ", measured in turn with the baseline while no trial ran." if _together(facts) else "."
        ),
    ]
    if not all(facts.stable()):
        lines.append("- The machine was too busy for a stable latency: measure it again.")
    return "\n".join(lines) + "\n"


def _trained_on(facts: CardFacts) -> Mapping[str, Any]:
    found: Mapping[str, Any] = facts.record.host or facts.manifest.get("host", {})
    return found


def _hosts(facts: CardFacts) -> str:
    """Return the sentence on the machine; on a cluster, another one may measure latency."""
    host, record = _trained_on(facts), facts.record
    trained = f"{code(host.get('cpu', 'unknown'))}, {code(host.get('platform', 'unknown'))}"
    given = record.conditions
    how = "" if given.device == "cpu" else f", on the device {code(given.device)}"
    how += "" if given.precision == "float32" else f", in {given.precision}"
    measured = record.metrics.get("latency_host") or host.get("name")
    if measured == host.get("name"):
        return f"Host: {trained}" + (f"; trained there{how}." if how else ".")
    name = f"{code(host['name'])}: " if host.get("name") else ""
    return f"Trained on {name}{trained}{how}; latency measured on {_measurer(facts, measured)}."


def _measurer(facts: CardFacts, name: object) -> str:
    """Return the name of the measuring host, with its processor if known."""
    hosts = (facts.manifest.get("host", {}), facts.baseline.get("host", {}))
    cpus = [code(host["cpu"]) for host in hosts if host.get("name") == name and "cpu" in host]
    return ": ".join([code(name), *cpus[:1]])


def _together(facts: CardFacts) -> bool:
    return facts.joint is not None and facts.joint.latency_ms is not None


def _repeats(facts: CardFacts) -> list[str]:
    """Return the line on the other seeds of the recipe, if there were any."""
    joint = facts.joint
    if joint is None or not joint.repeats or joint.repeats < 2 or joint.accuracy_mean is None:
        return []
    mean = accuracy(joint.accuracy_mean, joint.accuracy_sd)
    spread = "" if joint.accuracy_sd is None else " (standard deviation)"
    return [
        f"- The recipe was run with {joint.repeats} seeds: validation accuracy "
        f"{mean}{spread}. This file is the median one (with an even number, "
        "the lower of the two in the middle)."
    ]


def how_repeated(facts: CardFacts) -> str:
    """Return the commands that repeat the work, and the seed."""
    if facts.objects:
        return _with_objects(facts)
    number, final = facts.record.number, facts.final_name
    data = shlex.quote(facts.setting("data"))
    run = shlex.quote(f"runs/{facts.run}")
    which = f"--final {final}" if final else f"--trial {number}"
    consent = " --allow-code" if facts.own_code else ""
    lines = [
        "# where the run is; the same bytes on the same processor with the same versions:",
        f"slimtune rerun {run} {which} --check{consent}",
        f"slimtune export {run} --trial {number} --verify{consent} -o again",
    ]
    if "model.onnx" in facts.files:
        lines += ["# in this folder:", f"slimtune evaluate model.onnx --data {data}"]
    baseline = "the same weights" if facts.setting("weights") else "a baseline trained anew"
    lines += [f"# the recipe alone, on {baseline}:", _compress(facts, data)]
    return (
        "```\n" + "\n".join(lines) + "\n```\n\n"
        f"The {'final' if final else 'trial'}'s seed is {facts.record.conditions.seed}. "
        "Paths are shortened to their last part, here and in the other files.\n"
    )


def _with_objects(facts: CardFacts) -> str:
    """Return the Python code that repeats the work with the user's objects."""
    names = ", ".join(code(name) for name in facts.objects)
    return (
        "```python\n# the recipe alone, with the objects of the search:\nimport slimtune\n\n"
        'slimtune.compress("recipe.yaml", model=..., data=..., out="again")\n```\n\n'
        f"The search was handed Python objects ({names}), which no file holds. The trial's seed "
        f"is {facts.record.conditions.seed}.\n"
    )


def _compress(facts: CardFacts, data: str) -> str:
    names = ["model", "weights"]
    if stage_of(facts.recipe, "distill")[0] != "none":
        names += ["teacher", "teacher_weights"]
    given = " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(facts.setting(name))}"
        for name in names
        if facts.setting(name)
    )
    own = stage_of(facts.record.recipe, "student")[0] in facts.own_code
    consent = " --allow-code" if own else ""
    return f"slimtune compress --recipe recipe.yaml {given} --data {data}{consent} -o again"
