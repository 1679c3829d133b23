"""One recipe carried out, from the baseline to the file: the module to read first."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from slimtune.compression import rungs
from slimtune.compression.calibration import SCORING_IMAGES, calibration_batch, spread
from slimtune.compression.distillation import NoDistillation
from slimtune.compression.distillation.protocol import Distiller
from slimtune.compression.export.onnx_file import NumberFormat, Observe, Signature, export_file
from slimtune.compression.float_weights import FloatWeights
from slimtune.compression.network.copies import cloned, copied
from slimtune.compression.network.layers import weight_layers
from slimtune.compression.network.layout import laid_out, laid_out_like
from slimtune.compression.pruning.stage.masks import hold_zeros, removes_weights
from slimtune.compression.pruning.stage.per_epoch import while_training
from slimtune.compression.pruning.stage.stage import KeptChannels, channel_groups, prune
from slimtune.compression.quantization.fake_quantizers.baking import (
    as_in_file,
    bake,
    halved,
    one_a_weight,
)
from slimtune.compression.quantization.fake_quantizers.own_forward import prepared
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import BASELINE, Train
from slimtune.compression.streams import stream
from slimtune.compression.training.cached_logits import (
    CachedLogits,
    LogitCache,
    logits_suffice,
    without_cache,
)
from slimtune.compression.training.loop import (
    NO_HOOKS,
    Epoch,
    Hooks,
    Teaching,
    check_finite,
    train_network,
)
from slimtune.compression.training.recalibration import recalibrate
from slimtune.compression.training.teaching import cached_logits_of, teacher_of
from slimtune.conditions import Conditions
from slimtune.errors import ConfigError, NonFiniteError
from slimtune.workload.types import Architecture, Workload

Report = Callable[[str, Mapping[str, float]], None]
Build = Callable[[Architecture, str | None], nn.Module]


def report_nothing(stage: str, values: Mapping[str, float]) -> None:
    """Report no progress: the default."""


def build_nothing(architecture: Architecture, weights: str | None) -> nn.Module:
    """Refuse to build another student: the default, without a model zoo.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"student.model: no way to build {architecture.name} was handed to compress")


@dataclass(frozen=True)
class StudentState:
    """A student between two stages; another process can continue from it.

    Attributes:
        done: the last stage that is finished, ``"prune"`` or ``"train"``; empty before both.
        model: the student, plain layers, float weights.
        architecture: how to build the student again, before pruning.
        kept: for each layer that lost output channels, the indices that stayed.
        history: one entry an epoch of fine-tuning.
    """

    done: str
    model: nn.Module
    architecture: Architecture
    kept: KeptChannels = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)


Keep = Callable[[StudentState], None]


def keep_nothing(student: StudentState) -> None:
    """Save no stage: the default."""


@dataclass(frozen=True)
class Compressed:
    """What a recipe made of the baseline.

    Attributes:
        model: the compressed network with the weights of the file, in plain layers, in eval
            mode, on the CPU.
        computed: the network that computes what the file computes. It is ``model``, or the
            network with its fake quantizers, because their learned input ranges clip.
        onnx: the bytes of the one file that ships.
        architecture: how to build the student again, before pruning.
        kept: for each layer that lost output channels, the indices that stayed.
        history: one entry an epoch of fine-tuning.
        weight_bits: bits of each weight that is stored as integers, by qualified name.
        float_weights: the weights that stay float32 in the file of a quantized network.
        runtime: the oldest ONNX Runtime that loads the file.
    """

    model: nn.Module
    computed: nn.Module
    onnx: bytes
    architecture: Architecture
    kept: KeptChannels
    history: list[Epoch]
    weight_bits: dict[str, int]
    float_weights: FloatWeights = FloatWeights()
    runtime: str = ""


def compress(
    workload: Workload,
    recipe: Recipe,
    conditions: Conditions,
    *,
    observe: Observe,
    build: Build = build_nothing,
    report: Report = report_nothing,
    start: StudentState | None = None,
    keep: Keep = keep_nothing,
    monitor: rungs.Monitor | None = None,
    cache: LogitCache = without_cache,
) -> Compressed:
    """Carry out ``recipe`` on a copy of the workload's baseline, or on another student.

    Settings that have no effect are ignored, see `Recipe.effective`.

    Args:
        workload: data, baseline and teacher; not modified.
        recipe: what to do.
        conditions: the same ones give the same bits, if the caller lets torch use their number
            of threads. Order ``ppq`` uses ``prefix_seed`` up to the fine-tune, so that recipes
            that begin alike make the same student. For ``views``, see `CachedLogits`.
        observe: runs an ONNX file on images and returns the range of each named tensor; passed
            in because only the measurement layer knows a runtime.
        build: makes a student of another architecture, with weights or untrained.
        report: called with the name of each stage as it begins, and with each epoch's numbers.
        start: a student some of whose stages are done already; they are not done again.
        keep: called with the student after the stages ``prune`` and ``train``.
        monitor: called before any training and at each rung, with copies: the result is the
            same to the bit. An exception that it raises ends the work. Costs one export.
        cache: looks the teacher's logits of a view up, or computes and stores them.

    Raises:
        TrialError: the recipe cannot be carried out on this network.
    """
    recipe = recipe.effective()
    first = conditions.seed if recipe.order == "spq" else conditions.shared_seed
    logits = cached_logits_of(workload, conditions, cache)
    beginning = dataclasses.replace(conditions, seed=first)
    pipeline = _Pipeline(workload, recipe, beginning, report, monitor, logits)
    student = pipeline.copy_student(build) if start is None else pipeline.resume(start, build)
    if rungs.is_settled_by_training(recipe):
        pipeline.preview(student, observe)
    if recipe.order == "spq":
        student = pipeline.fake_quantize(pipeline.sparsify(student))
        student = pipeline.train(student)
    else:
        if not student.done:
            student = pipeline.prune(pipeline.sparsify(student))
            if student.done:
                keep(student)
        if not rungs.is_settled_by_training(recipe):
            pipeline.preview(student, observe)
        if student.done != "train":
            student = pipeline.train(student)
            keep(student)
        pipeline = dataclasses.replace(pipeline, conditions=conditions)
        student = pipeline.fake_quantize(student)
    student = pipeline.train_quantized(student)
    return pipeline.export(student, observe)


@dataclass(frozen=True)
class _Pipeline:
    """The steps of one recipe, each from a student to a student."""

    workload: Workload
    recipe: Recipe
    conditions: Conditions
    report: Report
    monitor: rungs.Monitor | None = None
    cached_logits: CachedLogits | None = None

    def copy_student(self, build: Build) -> StudentState:
        """Return a copy of the baseline, or the other network that the recipe names."""
        settings, architecture = self.recipe.student, self.workload.architecture
        self._seed_torch("student")
        network = self.workload.baseline
        if settings.model != BASELINE:
            architecture = dataclasses.replace(architecture, name=settings.model)
            network = build(architecture, settings.weights)
        model = copied(network, self.workload.image_shape)
        return StudentState("", model.to(self.conditions.device), architecture)

    def resume(self, saved: StudentState, build: Build) -> StudentState:
        """Return a saved student on its device, in the memory layout that it had."""
        is_baseline = self.recipe.student.model == BASELINE
        original = self.workload.baseline if is_baseline else build(saved.architecture, None)
        model = laid_out_like(saved.model, original, self.workload.image_shape)
        return dataclasses.replace(saved, model=model.to(self.conditions.device))

    def preview(self, student: StudentState, observe: Observe) -> None:
        """Show the monitor the file that the recipe would make without the training ahead.

        Works on copies. A student that is not pruned yet is pruned there, in one step.
        """
        if self.monitor is None or rungs.total_epochs(self.recipe) <= len(student.history):
            return
        self.report(rungs.PREVIEW, {})
        recipe = rungs.without_training(self.recipe)
        quick = dataclasses.replace(self, recipe=recipe, report=report_nothing)
        with rungs.restored_randomness(self.conditions.device):
            copy = dataclasses.replace(student, model=cloned(student.model))
            copy = copy if copy.done else quick.prune(copy)
            made = quick.export(quick.fake_quantize(copy), observe)
        self.monitor.on_preview(made, bool(student.done) or rungs.is_certain(self.recipe))

    def sparsify(self, student: StudentState) -> StudentState:
        """Train with the penalty of a pruning method that asks for sparse training."""
        prune = self.recipe.prune
        if prune is None or not prune.method.sparsity_epochs:
            return student
        groups = channel_groups(student.model, self._images(2), self.conditions.seed)
        train = dataclasses.replace(self.recipe.train, epochs=prune.method.sparsity_epochs)
        hooks = Hooks(after_backward=lambda: prune.method.regularize(groups))
        return self._fine_tune(student, "sparsify", train, hooks=hooks, distiller=NoDistillation())

    def prune(self, student: StudentState) -> StudentState:
        """Remove channels or weights, at once or in steps with recovery between them."""
        settings = self.recipe.prune
        if settings is None or self.recipe.softly:
            return student
        self.report("prune", {})
        history = list(student.history)

        def recover(model: nn.Module, kept: KeptChannels, step: int) -> None:
            train = dataclasses.replace(self.recipe.train, epochs=settings.step_epochs)
            now = dataclasses.replace(student, model=model, kept=kept, history=history)
            history[:] = self._fine_tune(now, f"recover {step}", train).history

        batch, seed = self._batch(SCORING_IMAGES), self.conditions.seed
        kept = prune(student.model, settings, batch=batch, seed=seed, recover=recover)
        return dataclasses.replace(
            student, done="prune", model=laid_out(student.model), kept=kept, history=history
        )

    def train(self, student: StudentState) -> StudentState:
        """Fine-tune; schedules soft and per_epoch prune after each epoch and cut at the end."""
        settings, train = self.recipe.prune, self.recipe.train
        if settings is None or not self.recipe.softly:
            return dataclasses.replace(self._fine_tune(student, "fine-tune", train), done="train")
        batch = self._batch(SCORING_IMAGES)
        pruner = while_training(student.model, settings, batch=batch, seed=self.conditions.seed)
        trained = self._fine_tune(student, "fine-tune", train, hooks=pruner.hooks())
        self.report("prune", {})
        kept = pruner.remove()
        return dataclasses.replace(trained, done="train", model=laid_out(trained.model), kept=kept)

    def fake_quantize(self, student: StudentState) -> StudentState:
        """Insert fake quantizers, if the quantizer learns."""
        self._seed_torch("fake quantize")
        images = self._images(self.recipe.quantize.calibration_images)
        model = prepared(self.recipe.quantize, student.model, images)
        return dataclasses.replace(student, model=model)

    def train_quantized(self, student: StudentState) -> StudentState:
        """Fine-tune with the fake quantizers in place."""
        quantize = self.recipe.quantize
        train = dataclasses.replace(self.recipe.train, epochs=quantize.epochs, lr=quantize.lr)
        return self._fine_tune(student, "quantize", train)

    def export(self, student: StudentState, observe: Observe) -> Compressed:
        """Quantize the weights, write the file, and give the network that it computes."""
        self.report("export", {})
        self._seed_torch("export")
        workload, quantizer = self.workload, self.recipe.quantize
        trained = student.model.eval().to("cpu")
        images = self._images(quantizer.calibration_images).to("cpu")
        check_finite(trained, images)
        stored = one_a_weight(trained, quantizer.weights(trained, images))
        computed = as_in_file(trained, stored)
        computed = halved(computed) if quantizer.bits == 16 else computed
        if self.recipe.train.recalibrate:
            recalibrate(computed, workload, self._generator("recalibrate"))
        model = bake(computed, stored)
        file = export_file(
            model,
            Signature(workload.image_shape, workload.mean, workload.std, workload.classes),
            NumberFormat.of(quantizer, trained, stored),
            calibration=workload.train.images[spread(workload, quantizer.calibration_images)],
            observe=observe,
        )
        by_rounding = {layer.weight_name for layer in weight_layers(trained, images[:2])}
        return Compressed(
            model=model,
            computed=computed,
            onnx=file.onnx,
            architecture=student.architecture,
            kept=student.kept,
            history=student.history,
            weight_bits=file.weight_bits,
            float_weights=file.float_weights.checked(quantizer, by_rounding),
            runtime=file.runtime,
        )

    def _fine_tune(
        self,
        student: StudentState,
        stage: str,
        train: Train,
        *,
        hooks: Hooks = NO_HOOKS,
        distiller: Distiller | None = None,
    ) -> StudentState:
        """Return the student after ``train.epochs`` of fine-tuning."""
        if train.epochs == 0:
            return student
        self.report(stage, {})
        self._seed_torch(stage)
        if removes_weights(self.recipe.prune):
            keep = hold_zeros(student.model, hooks.after_step)
            hooks = dataclasses.replace(hooks, after_step=keep)
        hooks = dataclasses.replace(
            hooks, on_epoch=lambda epoch: self._end_epoch(student, stage, epoch, train.epochs)
        )
        distiller = distiller or self.recipe.distill
        logits = self.cached_logits if logits_suffice(distiller, train) else None
        device, teacher_is_baseline = self.conditions.device, self.workload.teacher is None
        is_cut_from_teacher = teacher_is_baseline and self.recipe.student.model == BASELINE
        teaching = Teaching(
            distiller,
            teacher=None if logits else teacher_of(self.workload, distiller, device),
            cached_logits=logits,
            epochs_before=len(student.history),
            kept=student.kept if is_cut_from_teacher else {},
        )
        try:
            history = train_network(
                student.model,
                self.workload,
                train,
                teaching,
                generator=self._generator(stage),
                hooks=hooks,
                precision=self.conditions.precision,
            )
        except NonFiniteError as error:
            setting = "quantize.lr" if stage == "quantize" else "train.lr"
            error.args = (f"{stage}: {error}: {setting}",)
            raise  # the same exception, so that a debugger stops where it came from
        return dataclasses.replace(student, history=[*student.history, *history])

    def _end_epoch(self, student: StudentState, stage: str, epoch: Epoch, epochs: int) -> None:
        """Report an epoch, and show it to the monitor if it is a rung."""
        self.report(stage, {"epoch": epoch.epoch, "loss": epoch.loss})
        place = rungs.Place(stage, epoch.epoch, epochs, before=len(student.history))
        rung = rungs.rung_at(self.recipe, place, epoch.validation_accuracy)
        if self.monitor is None or rung is None:
            return
        if rungs.rounds_later(self.recipe, stage):
            quick = self.recipe.quantize.quick()
            with rungs.restored_randomness(self.conditions.device):
                images = self._images(quick.calibration_images)
                low = rungs.rounded_accuracy(student.model, quick, images, self.workload)
            rung = dataclasses.replace(rung, at_least=min(low, rung.accuracy))
        self.monitor.on_rung(rung)

    def _generator(self, stage: str) -> torch.Generator:
        """Return a stage's own generator: the stage repeats without the stages before it."""
        return stream(self.conditions.seed, stage)

    def _seed_torch(self, stage: str) -> None:
        torch.manual_seed(self._generator(stage).initial_seed())

    def _batch(self, n: int) -> tuple[Tensor, Tensor]:
        """Return ``n`` normalised training images, not augmented, and their labels."""
        return calibration_batch(self.workload, n, self.conditions.device)

    def _images(self, n: int) -> Tensor:
        """Return ``n`` normalised training images, but at least the two that tracing needs."""
        return self._batch(max(2, n))[0]
