"""One recipe, carried out: the text to read first."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from slimtune.compression import rungs
from slimtune.compression.calibration import SCORING_IMAGES, calibration_batch, spread
from slimtune.compression.distillation import NoDistillation
from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.export.onnx_file import Observe, export_file
from slimtune.compression.left_out import LeftOut
from slimtune.compression.network.copies import cloned, copied
from slimtune.compression.network.layout import laid_out, laid_out_like
from slimtune.compression.pruning.stage.masks import keep_zeros, removes_weights
from slimtune.compression.pruning.stage.per_epoch import while_training
from slimtune.compression.pruning.stage.stage import channel_groups, prune
from slimtune.compression.quantization.fake_quantizers.baking import (
    as_in_file,
    bake,
    halved,
    one_a_weight,
)
from slimtune.compression.quantization.fake_quantizers.own_forward import prepared
from slimtune.compression.quantization.protocol import method_of
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE, Train
from slimtune.compression.streams import stream
from slimtune.compression.training.lessons import Lessons, Recall, ask_again, can_be_kept
from slimtune.compression.training.loop import NO_HOOKS, Epoch, Hooks, check_finite, train_network
from slimtune.compression.training.recalibration import recalibrate
from slimtune.compression.training.teaching import lessons_of, teacher_of
from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, NonFiniteError
from slimtune.workload.types import Architecture, Workload

Report = Callable[[str, Mapping[str, float]], None]
Build = Callable[[Architecture, str | None], nn.Module]
Kept = dict[str, list[int]]


def report_nothing(stage: str, values: Mapping[str, float]) -> None:
    """Ignore progress."""


def build_nothing(architecture: Architecture, weights: str | None) -> nn.Module:
    """Refuse: no model zoo is at hand.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"student.model: no way to build {architecture.name} was handed to compress")


@dataclass(frozen=True)
class Progress:
    """A student between two stages, complete enough to go on from in another process.

    Attributes:
        done: the last stage that is finished, ``"prune"`` or ``"train"``; empty for none.
        model: the student, plain layers, float weights.
        architecture: how to build the student again, before pruning.
        kept: for each layer that lost output channels, the indices that stayed.
        history: one entry an epoch of fine-tuning.
    """

    done: str
    model: nn.Module
    architecture: Architecture
    kept: Kept = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)


Keep = Callable[[Progress], None]


def keep_nothing(progress: Progress) -> None:
    """Save no stage."""


@dataclass(frozen=True)
class Compressed:
    """What a recipe made of the baseline.

    Attributes:
        model: the compressed network with the weights of the file, in plain layers, in eval
            mode, on the CPU.
        computed: what the file computes: ``model``, or the network with its fake quantizers,
            whose learned input ranges clip.
        onnx: the bytes of the one file that ships.
        architecture: how to build the student again, before pruning.
        kept: for each layer that lost output channels, the indices that stayed.
        history: one entry an epoch of fine-tuning.
        weight_bits: bits of each weight that is stored as integers, by qualified name.
        left_out: the weights that the file holds in float32 although it was to be quantized.
        runtime: the oldest ONNX Runtime that loads the file.
    """

    model: nn.Module
    computed: nn.Module
    onnx: bytes
    architecture: Architecture
    kept: Kept
    history: list[Epoch]
    weight_bits: dict[str, int]
    left_out: LeftOut = LeftOut()
    runtime: str = ""


def compress(
    workload: Workload,
    recipe: Recipe,
    conditions: Conditions,
    *,
    observe: Observe,
    build: Build = build_nothing,
    report: Report = report_nothing,
    start: Progress | None = None,
    keep: Keep = keep_nothing,
    watch: rungs.Watch | None = None,
    recall: Recall = ask_again,
) -> Compressed:
    """Carry out ``recipe`` on a copy of the workload's baseline, or on another student.

    What has no effect in it (`Recipe.effective`) is not carried out.

    Args:
        workload: data, baseline and teacher; not modified.
        recipe: what to do.
        conditions: fix every bit, if torch uses their number of threads, which the caller sees
            to. Their ``prefix_seed`` is used with order ``ppq``, so that recipes that begin
            alike make the same student; their views are of a teacher whose logits suffice, see
            `Lessons`.
        observe: runs an ONNX file on images and returns the range of each named tensor; handed
            in because only the measurement side knows a runtime.
        build: makes a student of another architecture, with weights or untrained.
        report: called with the name of each stage as it begins and with each epoch's numbers.
        start: a student some of whose stages are done already; they are not done again.
        keep: called with the student after the stages ``prune`` and ``train``.
        watch: looks on, before any training and at each rung, on copies: all comes out the same
            to the bit. What it raises ends the work. Costs an export; None costs nothing.
        recall: knows what the teacher said of a view, and is told what it did not know.

    Raises:
        TrialError: the recipe cannot be carried out on this network.
    """
    recipe = recipe.effective()
    first = conditions.seed if recipe.order == "spq" else conditions.shared_seed
    lessons = lessons_of(workload, conditions, recall)
    beginning = dataclasses.replace(conditions, seed=first)
    bench = _Bench(workload, recipe, beginning, report, watch, lessons)
    at = bench.student(build) if start is None else bench.resumed(start, build)
    if rungs.comes_late(recipe):
        bench.foresee(at, observe)
    if recipe.order == "spq":
        at = bench.fake_quantize(bench.sparsify(at))
        at = bench.train(at)
    else:
        if not at.done:
            at = bench.prune(bench.sparsify(at))
            if at.done:
                keep(at)
        if not rungs.comes_late(recipe):
            bench.foresee(at, observe)
        if at.done != "train":
            at = bench.train(at)
            keep(at)
        bench = dataclasses.replace(bench, conditions=conditions)
        at = bench.fake_quantize(at)
    at = bench.train_quantized(at)
    return bench.export(at, observe)


@dataclass(frozen=True)
class _Bench:
    """The steps of one recipe, each from a student to a student."""

    workload: Workload
    recipe: Recipe
    conditions: Conditions
    report: Report
    watch: rungs.Watch | None = None
    lessons: Lessons | None = None

    def student(self, build: Build) -> Progress:
        """Return a copy of the baseline, or the other network that the recipe names."""
        wanted, known = self.recipe.student, self.workload.architecture
        self._seeded("student")
        own = wanted.model == BASELINE
        known = known if own else dataclasses.replace(known, name=wanted.model)
        network = self.workload.baseline if own else build(known, wanted.weights)
        student = copied(network, self.workload.image_shape)
        return Progress("", student.to(self.conditions.device), known)

    def resumed(self, start: Progress, build: Build) -> Progress:
        """Return a saved student as it was before it was saved: device and layout in memory."""
        own = self.recipe.student.model == BASELINE
        whole = self.workload.baseline if own else build(start.architecture, None)
        model = laid_out_like(start.model, whole, self.workload.image_shape)
        return dataclasses.replace(start, model=model.to(self.conditions.device))

    def foresee(self, at: Progress, observe: Observe) -> None:
        """Show what would come of the student without the training ahead, if someone looks on.

        A student that is not pruned yet is pruned at once, on a copy: all is done on copies.
        """
        if self.watch is None or rungs.total_epochs(self.recipe) <= len(at.history):
            return
        self.report(rungs.PREVIEW, {})
        quick = dataclasses.replace(
            self, recipe=rungs.untrained(self.recipe), report=report_nothing
        )
        with rungs.randomness_kept(self.conditions.device):
            still = dataclasses.replace(at, model=cloned(at.model))
            still = still if at.done else quick.prune(still)
            made = quick.export(quick.fake_quantize(still), observe)
        self.watch.foresee(made, bool(at.done) or rungs.is_certain(self.recipe))

    def sparsify(self, at: Progress) -> Progress:
        """Train with the penalty of a pruning method that wants one."""
        prune = self.recipe.prune
        if prune is None or not prune.method.sparsity_epochs:
            return at
        groups = channel_groups(at.model, self._images(2), self.conditions.seed)
        return self._tuned(
            at,
            "sparsify",
            dataclasses.replace(self.recipe.train, epochs=prune.method.sparsity_epochs),
            hooks=Hooks(after_backward=lambda: prune.method.regularize(groups)),
            distiller=NoDistillation(),
        )

    def prune(self, at: Progress) -> Progress:
        """Remove channels or weights, at once or in steps with recovery between them."""
        settings = self.recipe.prune
        if settings is None or self.recipe.softly:
            return at
        self.report("prune", {})
        history = list(at.history)

        def recover(model: nn.Module, kept: Kept, step: int) -> None:
            train = dataclasses.replace(self.recipe.train, epochs=settings.step_epochs)
            now = dataclasses.replace(at, model=model, kept=kept, history=history)
            history[:] = self._tuned(now, f"recover {step}", train).history

        kept = prune(
            at.model,
            settings,
            batch=self._batch(SCORING_IMAGES),
            seed=self.conditions.seed,
            recover=recover,
        )
        return dataclasses.replace(
            at, done="prune", model=laid_out(at.model), kept=kept, history=history
        )

    def train(self, at: Progress) -> Progress:
        """Fine-tune; if the schedule says so, prune after each epoch and remove at last."""
        settings, train = self.recipe.prune, self.recipe.train
        if settings is None or not self.recipe.softly:
            return dataclasses.replace(self._tuned(at, "fine-tune", train), done="train")
        batch = self._batch(SCORING_IMAGES)
        pruner = while_training(at.model, settings, batch=batch, seed=self.conditions.seed)
        trained = self._tuned(at, "fine-tune", train, hooks=pruner.hooks())
        self.report("prune", {})
        kept = pruner.remove()
        return dataclasses.replace(trained, done="train", model=laid_out(trained.model), kept=kept)

    def fake_quantize(self, at: Progress) -> Progress:
        """Insert fake quantizers, if the quantizer learns."""
        self._seeded("fake quantize")
        images = self._images(self.recipe.quantize.calibration_images)
        return dataclasses.replace(at, model=prepared(self.recipe.quantize, at.model, images))

    def train_quantized(self, at: Progress) -> Progress:
        """Fine-tune with the fake quantizers in place."""
        quantize = self.recipe.quantize
        train = dataclasses.replace(self.recipe.train, epochs=quantize.epochs, lr=quantize.lr)
        return self._tuned(at, "quantize", train)

    def export(self, at: Progress, observe: Observe) -> Compressed:
        """Quantize the weights, write the file, and give the network that it computes."""
        self.report("export", {})
        self._seeded("export")
        workload, quantizer = self.workload, self.recipe.quantize
        trained = at.model.eval().to("cpu")
        images = self._images(quantizer.calibration_images).to("cpu")
        check_finite(trained, images)
        stored = one_a_weight(trained, quantizer.weights(trained, images))
        computed = as_in_file(trained, stored)
        computed = halved(computed) if quantizer.bits == 16 else computed
        if self.recipe.train.recalibrate:
            recalibrate(computed, workload, self._generator("recalibrate"))
        model = bake(computed, stored)
        made = export_file(
            model,
            image_shape=workload.image_shape,
            mean=workload.mean,
            std=workload.std,
            classes=workload.classes,
            stored=stored,
            activations=quantizer.activations,
            ranges=quantizer.ranges(trained),
            float_bits=16 if quantizer.bits == 16 else 32,
            calibration=workload.train.images[self._spread(quantizer.calibration_images)],
            observe=observe,
        )
        left_out = made.left_out.checked(quantizer.bits, method_of(quantizer))
        more = at.architecture, at.kept, at.history, made.weight_bits, left_out, made.runtime
        return Compressed(model, computed, made.onnx, *more)

    def _tuned(
        self,
        at: Progress,
        stage: str,
        train: Train,
        hooks: Hooks = NO_HOOKS,
        distiller: Distiller | None = None,
    ) -> Progress:
        """Return the student after ``train.epochs`` of fine-tuning."""
        if train.epochs == 0:
            return at
        self.report(stage, {})
        self._seeded(stage)
        distiller = distiller or self.recipe.distill
        if removes_weights(self.recipe.prune):
            hooks = dataclasses.replace(hooks, after_step=keep_zeros(at.model, hooks.after_step))
        lessons = self.lessons if can_be_kept(distiller, train) else None
        try:
            history = train_network(
                at.model,
                self.workload,
                train,
                distiller,
                teacher=None if lessons else self._teacher(distiller),
                generator=self._generator(stage),
                on_epoch=lambda e: self._reached(stage, e, train.epochs, at),
                kept=at.kept if self._taught_by_itself() else {},
                hooks=hooks,
                precision=self.conditions.precision,
                lessons=lessons,
                epochs_before=len(at.history),
            )
        except NonFiniteError as error:
            setting = "quantize.lr" if stage == "quantize" else "train.lr"
            error.args = (f"{stage}: {error}: {setting}",)
            raise  # from where it was raised: a debugger shall stop there
        return dataclasses.replace(at, history=[*at.history, *history])

    def _reached(self, stage: str, epoch: Epoch, of: int, at: Progress) -> None:
        """Tell of an epoch, and whoever looks on of the rung, if it is one."""
        self.report(stage, {"epoch": epoch.epoch, "loss": epoch.loss})
        rung = rungs.rung_at(self.recipe, stage, epoch, of, len(at.history))
        if self.watch is None or rung is None:
            return
        if rungs.rounds_later(self.recipe, stage):
            quick = self.recipe.quantize.quick()
            with rungs.randomness_kept(self.conditions.device):
                images = self._images(quick.calibration_images)
                low = rungs.rounded_accuracy(at.model, quick, images, self.workload)
            rung = dataclasses.replace(rung, at_least=min(low, rung.accuracy))
        self.watch.reach(rung)

    def _teacher(self, distiller: Distiller) -> nn.Module | None:
        return teacher_of(self.workload, distiller, self.conditions.device)

    def _taught_by_itself(self) -> bool:
        """Return whether the teacher is what the student was cut out of."""
        return self.workload.teacher is None and self.recipe.student.model == BASELINE

    def _generator(self, stage: str) -> torch.Generator:
        """Return randomness of the stage's own, so that a stage repeats without those before."""
        return stream(self.conditions.seed, stage)

    def _seeded(self, stage: str) -> None:
        torch.manual_seed(self._generator(stage).initial_seed())

    def _batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Return ``n`` normalised training images as they are, and their labels."""
        return calibration_batch(self.workload, n, self.conditions.device)

    def _images(self, n: int) -> Tensor:
        """Return ``n`` normalised training images, but at least the two that tracing needs."""
        return self._batch(max(2, n))[0]

    def _spread(self, n: int) -> np.ndarray:
        return spread(self.workload, n)
