"""The facts that a model card is written from, and how to escape names for Markdown."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slimtune.results.delivery.portable import portable_pipeline, portable_recipe, without_folders
from slimtune.results.objectives import is_number
from slimtune.results.store.joint import JointRow
from slimtune.results.store.record import TrialRecord
from slimtune.results.units import percent

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Channels -> Pillow's name of such images."""


@dataclass(frozen=True)
class CardFacts:
    """The facts that a card is written from.

    Attributes:
        record: of the trial.
        manifest: the content of run.json.
        baseline: its record; empty if it was not measured.
        run: the run folder's name.
        joint: the trial in the joint measurement of the front, if it took part.
        baseline_joint: the baseline there.
        files: names of the delivered files.
    """

    record: TrialRecord
    manifest: Mapping[str, Any]
    baseline: Mapping[str, Any]
    run: str
    joint: JointRow | None = None
    baseline_joint: JointRow | None = None
    files: Sequence[str] = field(default_factory=tuple)

    @property
    def workload(self) -> Mapping[str, Any]:
        """What the model was compressed for."""
        found: Mapping[str, Any] = self.manifest["workload"]
        return found

    def setting(self, name: str) -> str:
        """Return a setting of the search in one line, paths without the folders before."""
        given = " ".join(str(self.manifest["config"].get(name) or "").split())
        return without_folders(given)

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe in its JSON form, paths without the folders before."""
        return portable_recipe(self.record.recipe)

    @property
    def pipeline(self) -> str:
        """The pipeline in a few words, paths without the folders before."""
        return portable_pipeline(self.record.pipeline, self.record.recipe)

    @property
    def final_name(self) -> str:
        """Which final the delivered file is, such as ``0017-e30-r0``; empty: the trial's own."""
        return (self.joint.final if self.joint else None) or ""

    @property
    def own_network(self) -> str:
        """The user's own code that builds the network, without folders; empty if there is none."""
        student = stage_of(self.record.recipe, "student")[0]
        built = self.workload.get("architecture", {}).get("name", "")
        name = built if student in ("none", "baseline") else student
        return without_folders(name) if name in self.own_code else ""

    @property
    def own_code(self) -> Sequence[str]:
        """References to the code of the user's own that the run needs, with their folders."""
        return tuple(self.workload.get("code", {}))

    @property
    def objects(self) -> Sequence[str]:
        """References to Python objects that the user passed in, which no file holds."""
        return tuple(name for name in self.own_code if name.startswith("object."))

    @property
    def rounds_activations(self) -> bool:
        """Whether the file computes with activations of 8 bits."""
        method, settings = stage_of(self.record.recipe, "quantize")
        recorded = self.record.metrics.get("activations")
        if recorded is not None:
            return recorded != "float"
        # Older trials do not record it.
        return method not in ("none", "float16") and settings.get("activation_bits") != 32

    def file_notes(self) -> list[str]:
        """Return lines on facts about the file that are not in the recipe."""
        metrics, lines = self.record.metrics, []
        if metrics.get("layers_float32"):
            share = self.model_value("weights_float32") or 0.0
            lines.append(
                "- kept in float32, because the quantizer cannot handle them: "
                f"{percent(share)} of the weights, in {code(metrics['layers_float32'])}"
            )
        if metrics.get("activation_ranges"):
            lines.append(f"- ranges of activations: {plain(str(metrics['activation_ranges']))}")
        if metrics.get("oldest_onnxruntime") and "model.onnx" in self.files:
            oldest = plain(str(metrics["oldest_onnxruntime"]))
            lines.append(f"- `model.onnx` loads in ONNX Runtime {oldest} and later")
        return lines

    def latencies(self) -> tuple[float | None, float | None]:
        """Return comparable latencies of the baseline and of the model, ms."""
        if self.joint and self.baseline_joint and self.joint.latency_ms is not None:
            return self.baseline_joint.latency_ms, self.joint.latency_ms
        return self.baseline_value("latency_ms"), self.model_value("latency_ms")

    def stable(self) -> tuple[bool, bool]:
        """Return whether the machine was quiet enough for each of `latencies`."""
        metrics: Mapping[str, Any] = self.baseline.get("metrics", {})
        baseline, model = metrics.get("latency_stable") is not False, self.record.stable
        if self.joint and self.joint.latency_ms is not None:
            model = self.joint.stable
            baseline = self.baseline_joint.stable if self.baseline_joint else baseline
        return baseline, model

    def baseline_value(self, name: str) -> float | None:
        """Return a measurement of the baseline by its name."""
        metrics: Mapping[str, Any] = self.baseline.get("metrics", {})
        objectives: Mapping[str, Any] = self.baseline.get("objectives", {})
        return _number({**metrics, **self.baseline, **objectives}.get(name))

    def model_value(self, name: str) -> float | None:
        """Return a measurement of the model by its name."""
        return _number(self.record.measured.get(name))

    @property
    def test_accuracy(self) -> float | None:
        """The model's test accuracy, if it was measured."""
        return self.joint.test_accuracy if self.joint else None


def stage_of(recipe: Mapping[str, Any], stage: str) -> tuple[str, dict[str, Any]]:
    """Return the method of a stage, ``"none"`` if the stage is left out, and its settings.

    The method of ``student`` is its network; ``train`` has no method, and ``""`` is returned.
    """
    value = recipe.get(stage, "none")
    settings = dict(value) if isinstance(value, Mapping) else {"method": str(value)}
    default = "" if stage == "train" else "none"
    name = settings.pop("method", None) or settings.pop("model", None) or default
    return str(name), settings


def code(text: object) -> str:
    """Return ``text`` as a Markdown code span, in one line."""
    plain = " ".join(str(text).split()).replace("|", "¦")
    fence = "`" * (max((len(run) for run in _backticks(plain)), default=0) + 1)
    gap = " " if plain.startswith("`") or plain.endswith("`") or not plain else ""
    return f"{fence}{gap}{plain}{gap}{fence}"


def _backticks(text: str) -> list[str]:
    return "".join(letter if letter == "`" else " " for letter in text).split()


def plain(text: str) -> str:
    """Return our own words with HTML and table marks escaped."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "¦")


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None  # type: ignore[arg-type]
