"""One trial: carries out a recipe, measures its file, records both. It knows no Ray, no Optuna."""

import json
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from slimtune.compression.pipeline import (
    Compressed,
    Keep,
    Report,
    StudentState,
    compress,
    keep_nothing,
    report_nothing,
)
from slimtune.compression.quantization.fake_quantizers.input_ranges import input_ranges
from slimtune.compression.quantization.fake_quantizers.own_forward import held_weights
from slimtune.compression.quantization.protocol import ranges_from
from slimtune.compression.recipe import Recipe
from slimtune.compression.training.loop import history_csv, network_logits
from slimtune.compression.training.pauses import pausing
from slimtune.errors import SlimtuneError, in_one_line
from slimtune.measurement.accuracy import check_parity
from slimtune.measurement.batch_independence import check_batch_independence
from slimtune.measurement.cost import count_cost
from slimtune.measurement.host import describe_host
from slimtune.measurement.runtime import observe_ranges, predict
from slimtune.results.store.files import sha256_bytes
from slimtune.results.store.record import Metric, TrialRecord, clean_record
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.lookout import Ended, Lookout
from slimtune.search.trial.phase_clock import PhaseClock
from slimtune.search.trial.process.devices import check_device, free_memory
from slimtune.search.trial.removed_shares import pipeline_words, removed_shares
from slimtune.search.trial.scores import names_of, scores
from slimtune.search.trial.shared_views import SharedViews
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.stage_store import Beginning
from slimtune.search.trial.students import student_builder
from slimtune.workload.checkpoints import weights_bytes
from slimtune.workload.types import Workload

PARITY_IMAGES = 256
LATENCY_SECONDS = 1.0
"""Seconds over which the rounds of a latency are spread, unless `ENOUGH_ROUNDS` count before."""
ENOUGH_ROUNDS = 12
"""So many rounds at the machine's full speed rank near-tied models correctly; see
benchmarks/latency.py."""
PREVIEW_ROUNDS, PREVIEW_SECONDS, PREVIEW_ENOUGH = 12, 0.3, 6
"""For the latency before training: it is noisier, and the stopping rule has a margin for that."""
DEFAULT_OBJECTIVES = ("accuracy", "size_bytes", "latency_ms")


@dataclass(frozen=True)
class Handover:
    """Students that enter a single trial and leave it, between two stages.

    Attributes:
        start: a student after some of the recipe's stages, to continue from.
        keep: called with the student after the stages ``prune`` and ``train``.
    """

    start: StudentState | None = None
    keep: Keep = keep_nothing


def run_trial(
    workload: Workload,
    spec: TrialSpec,
    aids: Aids | None = None,
    *,
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES,
    reraise: bool = False,
    handover: Handover = Handover(),
    origin: Mapping[str, Any] | None = None,
) -> Outcome:
    """Compress, export and measure one recipe.

    An error of the recipe's own (`TrialError`, or any error inside torch) becomes a failed
    outcome; only what ends the process is raised. A judge sees the trial before training and at
    each rung, and may stop it there. A trial that it does not stop makes the same files, bit for
    bit, as without a judge.

    Args:
        workload: data and baseline; not modified.
        spec: the recipe and its conditions.
        aids: what the executor lends.
        objectives: the measured quantities that are optimised; the others are metrics. One of
            the user's own names its code, such as ``FILE.py:f1:maximize``.
        reraise: raise a failure instead, for a debugger to stop at.
        handover: students that enter and leave the trial.
        origin: from `run_origin`, to share beginnings through the run's stage store; None: the
            trial carries out all its stages.
    """
    torch.set_num_threads(spec.conditions.threads)
    aids = aids or Aids()
    clock = PhaseClock(aids.tell_phase)
    beginning = Beginning(origin, spec, aids.fetch_entry)
    views = SharedViews(origin, spec, aids.fetch_entry)
    trial = _Trial(workload, spec, objectives, aids, clock, beginning, views)
    try:
        with pausing(aids.pause):
            outcome = trial.carry_out(handover)
    except Ended as ended:
        outcome = ended.outcome
    except (Exception, SystemExit) as error:  # one bad recipe must not end the search
        if reraise:
            raise
        outcome = failed_outcome(spec, error, clock)
    free_memory()
    return views.attach_to(beginning.attach_to(outcome))


@dataclass(frozen=True)
class _Trial:
    """One running trial: its task, and what the executor lends it."""

    workload: Workload
    spec: TrialSpec
    objectives: tuple[str, ...]
    aids: Aids
    clock: PhaseClock
    beginning: Beginning
    views: SharedViews

    def carry_out(self, handover: Handover) -> Outcome:
        """Compress, export, check and measure."""
        recipe = Recipe.from_dict(self.spec.recipe)
        check_device(self.spec.conditions.device)
        lookout = Lookout(
            self.aids.judge,
            partial(measure, self.workload, recipe, aids=self.aids, brief=True),
            partial(_stopped_outcome, self.spec, self.clock),
            names_of(self.objectives),
        )
        start = handover.start or self.beginning.find(recipe)
        if start is not None:
            self.clock.report(f"{start.done} (from the store)", {})

        def keep_both(progress: StudentState) -> None:
            handover.keep(progress)
            self.beginning.keep(progress)

        compressed = compress(
            self.workload,
            recipe,
            self.spec.conditions,
            observe=observe_ranges,
            build=student_builder(self.workload),
            report=self.clock.report,
            start=start,
            keep=keep_both,
            monitor=lookout.watch(),
            cache=self.views.recall,
        )

        self.clock.report("parity", {})
        check_file(self.workload, recipe, compressed)

        self.clock.report("measure", {})
        measured = measure(
            self.workload,
            recipe,
            compressed,
            self.aids,
            objectives=self.objectives,
            report=self.clock.report,
        )
        self.clock.stop()
        objectives = names_of(self.objectives)

        files = model_files(self.workload, recipe, compressed)
        record = _record(
            self.spec,
            self.clock,
            status="complete",
            pipeline=compressed.float_weights.described(pipeline_words(recipe, measured)),
            objectives={name: measured[name] for name in objectives},
            metrics={name: value for name, value in measured.items() if name not in objectives},
            artifacts={name: sha256_bytes(data) for name, data in files.items()},
            rungs=lookout.rungs,
        )
        record = clean_record(record, objectives)
        files["log.txt"] = self.clock.text().encode()
        return Outcome(
            self.spec.number, record.status, record.objectives, record, files, record.error or ""
        )


def check_file(workload: Workload, recipe: Recipe, compressed: Compressed) -> None:
    """Check that the file computes what the network computes, for each image by itself.

    Args:
        workload: up to 256 of its validation images are used.
        recipe: that was carried out.
        compressed: what came out.

    Raises:
        ExportMismatchError: the file computes something else.
    """
    images = workload.validation.images[:PARITY_IMAGES]
    quantized = recipe.quantize.activations != "float"
    check_parity(
        network_logits(compressed.computed, images, workload).numpy(),
        predict(compressed.onnx, images, mean=workload.mean, std=workload.std),
        quantized=quantized,
    )
    check_batch_independence(
        compressed.onnx, images, mean=workload.mean, std=workload.std, quantized=quantized
    )


def measure(
    workload: Workload,
    recipe: Recipe,
    compressed: Compressed,
    aids: Aids,
    *,
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES,
    brief: bool = False,
    report: Report = report_nothing,
) -> dict[str, Metric]:
    """Return every measured quantity: of the exported file, except for costs, which are counted.

    Args:
        workload: gives the validation split and the image shape.
        recipe: that was carried out.
        compressed: what came out.
        aids: measure the latency.
        objectives: of the search; metrics of the user's own are called.
        brief: measure the latency in less time, with more noise.
        report: called with each phase that begins.
    """
    spread = {"seconds": LATENCY_SECONDS, "enough": ENOUGH_ROUNDS}
    if brief:
        spread = {"rounds": PREVIEW_ROUNDS, "seconds": PREVIEW_SECONDS, "enough": PREVIEW_ENOUGH}
    validation = workload.validation
    logits = predict(compressed.onnx, validation.images, mean=workload.mean, std=workload.std)
    report("latency", {})
    latency = aids.measure_latency([compressed.onnx], image_shape=workload.image_shape, **spread)[
        0
    ]
    report("measure", {})
    cost = count_cost(
        compressed.model,
        workload.image_shape,
        weight_bits=16 if recipe.quantize.bits == 16 else 32,  # of those not in bits_of
        activation_bits=32 if recipe.quantize.activations == "float" else 8,
        bits_of=compressed.weight_bits,
    )
    return {
        **scores(logits, validation.labels, objectives),
        "size_bytes": len(compressed.onnx),
        "latency_ms": latency.ms,
        "params": cost.params,
        "nonzero": cost.nonzero,
        "sparsity": cost.sparsity,
        "macs": cost.macs,
        "bops": cost.bops,
        "packed_bytes": cost.packed_bytes,
        "latency_rounds": latency.rounds,
        "latency_accepted": latency.accepted,
        "latency_stable": latency.stable,
        "latency_host": latency.host,
        "latency_probe_ms": latency.probe_ms,
        "latency_probe_after_ms": latency.probe_after_ms,
        "activations": recipe.quantize.activations,
        "activation_ranges": ranges_from(recipe.quantize),
        "weights_float32": compressed.float_weights.share,
        "layers_float32": compressed.float_weights.names,
        "oldest_onnxruntime": compressed.runtime,
        **removed_shares(workload, recipe, compressed, cost),
    }


def model_files(workload: Workload, recipe: Recipe, compressed: Compressed) -> dict[str, bytes]:
    """Return the files of a trial folder that hold the model, by file name."""
    description = {
        "schema": 1,
        "architecture": asdict(compressed.architecture),
        "input": {"shape": list(workload.image_shape), "dtype": "uint8", "layout": "NCHW"},
        "mean": list(workload.mean),
        "std": list(workload.std),
        "classes": list(workload.classes),
        "recipe": recipe.to_dict(),
        "kept_channels": compressed.kept,
    }
    if ranges := input_ranges(
        compressed.computed
    ):  # a rebuilt network needs them, and the weights do not hold them
        description["input_ranges"] = ranges
    if names := held_weights(
        compressed.model
    ):  # layers that would otherwise compute other weights from these
        description["held_weights"] = names
    return {
        "model.onnx": compressed.onnx,
        "model.safetensors": weights_bytes(compressed.model),
        "model.json": (json.dumps(description, indent=1) + "\n").encode(),
        "history.csv": history_csv(compressed.history).encode(),
    }


def _stopped_outcome(
    spec: TrialSpec,
    clock: PhaseClock,
    objectives: Mapping[str, float],
    metrics: Mapping[str, Any],
) -> Outcome:
    """Return the outcome of a trial that its judge ends here."""
    record = _record(
        spec,
        clock,
        status="stopped",
        pipeline=pipeline_words(Recipe.from_dict(spec.recipe), metrics),
        objectives=dict(objectives),
        metrics=dict(metrics),
        artifacts={},
    )
    return Outcome(
        spec.number,
        "stopped",
        record.objectives,
        clean_record(record),
        {"log.txt": clock.text().encode()},
    )


def failed_outcome(
    spec: TrialSpec,
    error: BaseException,
    clock: PhaseClock | None = None,
    trace: str | None = None,
) -> Outcome:
    """Return the outcome of a trial that raised ``error``.

    Args:
        spec: of the trial.
        error: what it raised.
        clock: of the trial, if it had one.
        trace: the traceback as text, where ``error`` was raised in another process.
    """
    clock = clock or PhaseClock()
    clock.stop()
    ours = isinstance(error, SlimtuneError) and str(error)
    reason = str(error).splitlines()[0] if ours else in_one_line(error)
    record = _record(
        spec,
        clock,
        status="failed",
        pipeline=_pipeline_words(spec.recipe),
        objectives={},
        metrics={},
        artifacts={},
        error=reason,
        traceback=trace or "".join(traceback.format_exception(error)),
    )
    files = {"log.txt": clock.text().encode()}
    return Outcome(spec.number, "failed", {}, record, files, reason)


def _record(spec: TrialSpec, clock: PhaseClock, **rest: Any) -> TrialRecord:
    """Return a record; what all trials have in common is filled in here."""
    fields = {"error": None, "traceback": None, **rest}
    return TrialRecord(
        number=spec.number,
        recipe=spec.recipe,
        conditions=spec.conditions,
        seconds=clock.so_far(),
        host=describe_host(),
        **fields,
    )


def _pipeline_words(recipe: dict[str, object]) -> str:
    try:
        return Recipe.from_dict(recipe).describe()
    except SlimtuneError:
        return "invalid recipe"
