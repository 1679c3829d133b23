"""Estimates what a search will cost, from real trials of drawn recipes on a part of the data."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import nn

from slimtune.compression.lengthening import lengthened
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.compression.training.cached_logits import cached_views
from slimtune.compression.training.loop import Teaching, network_logits, train_network
from slimtune.search.executors.machines import workers as workers_of
from slimtune.search.forecast.short_trials import (
    ShortTrials,
    epochs_of,
    measured_on,
    questions_of,
    shortened_recipe,
)
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import teacher_as_baseline
from slimtune.search.trial.spec import Outcome
from slimtune.workload.types import Split, Workload

Clock = Callable[[], float]
TRAINING_STAGES = ("fine-tune", "quantize", "recover", "sparsify")
PART_SECONDS = 1.5
"""Seconds of training in one measured trial, enough for a steady pace."""
LEAST_IMAGES = 512
"""Fewest images of the part: calibration and channel scores use up to so many."""
RAY_SECONDS = 12.0
"""Seconds until Ray's workers have started and imported torch, on two cores."""
TOGETHER = 1.1
"""Factor by which two parallel one-thread trials on two cores take longer than one alone."""
FRONT_SECONDS = 3.0
MEMBERS = 12
"""Assumed members of the front, which is unknown before the search."""


@dataclass(frozen=True)
class Sample:
    """One measured trial: on a part of the data, scaled to all of it.

    Attributes:
        fixed: seconds that do not depend on the epochs: surgery, export, measurement.
        epoch: seconds of one epoch of fine-tuning.
        epochs: of the recipe.
        size: bytes that the trial leaves on the disk.
        failed: why the trial failed; empty if it did not.
    """

    fixed: float
    epoch: float
    epochs: int
    size: int
    failed: str = ""

    @property
    def seconds(self) -> float:
        """Seconds of the whole trial."""
        return self.fixed + self.epochs * self.epoch


@dataclass(frozen=True)
class Estimate:
    """The cost of a search on this machine.

    Attributes:
        trials: that the search will run.
        workers: trials at a time.
        samples: the trials that were measured.
        images: training images that they were measured on, out of ``of_images``.
        of_images: training images in all.
        trial: mean seconds of a trial.
        baseline: seconds to train and measure the baseline, and the teacher if there is one.
        finals: number of finals; 0 if none are asked for.
        final: seconds of all finals, with an assumed number of members.
        search: seconds of the whole search, finals included, without early stopping.
        device: on which the trials were measured; the search may use another.
        size: bytes of the whole run.
    """

    trials: int
    workers: int
    samples: tuple[Sample, ...]
    images: int
    of_images: int
    trial: float
    baseline: float
    finals: int
    final: float
    search: float
    device: str
    size: int


def estimate_search(
    config: SearchConfig,
    workload: Workload,
    recipes: Sequence[dict[str, Any]],
    *,
    samples: int = 8,
    seconds: float = 60.0,
    on_sample: Callable[[Sample], None] = lambda sample: None,
    clock: Clock = time.perf_counter,
) -> Estimate:
    """Measure some trials on a part of the data, and scale them to a search.

    `run_trial` carries out the recipes with one epoch a stage, so the cost of teachers, fake
    quantizers, surgery and export is measured and not modelled. Fine-tuning is scaled by the
    images of an epoch and by the epochs of all recipes, the accuracy of the file by the number of
    validation images.

    Args:
        config: of the search.
        workload: its networks may be untrained, because time does not depend on weights.
        recipes: as the search would draw them. The first ``samples`` are measured; the epochs of
            all are counted.
        samples: most trials to measure, at least 1.
        seconds: measure no more trials after this time, but at least two.
        on_sample: called after each.
        clock: the time in seconds, for the pace and for ``seconds``; a trial times itself.

    Raises:
        TrialError: the network itself cannot be trained.
    """
    torch.set_num_threads(1)
    pace = measure_pace(workload.baseline, workload, clock=clock)
    part = _part(workload, pace)
    trials = ShortTrials(config, part)
    # Not counted: the first trial of a process imports for seconds, and the first one with a
    # teacher asks it for all trials.
    trials.carry_out(max(recipes, key=lambda recipe: questions_of(shortened_recipe(recipe))), 0)
    began = clock()
    ground = _Ground(config, workload, part, pace)
    measured: list[Sample] = []
    for number, recipe in enumerate(recipes[:samples]):
        if len(measured) >= 2 and clock() - began > seconds:
            break
        outcome = trials.carry_out(recipe, number)
        measured.append(_scale(outcome, recipe, ground))
        on_sample(measured[-1])
    return _sum_up(recipes, measured, ground)


@dataclass(frozen=True)
class Pace:
    """Seconds for one image: in training, and in inference."""

    train: float
    infer: float


@dataclass(frozen=True)
class _Ground:
    """The inputs of an estimate.

    Attributes:
        config: of the search.
        whole: its workload.
        part: the workload with fewer images, on which trials are measured.
        pace: of the network on them.
    """

    config: SearchConfig
    whole: Workload
    part: Workload
    pace: Pace


def measure_pace(
    network: nn.Module, workload: Workload, batch: int = 128, clock: Clock = time.perf_counter
) -> Pace:
    """Return how fast a network is trained and run on this workload, on one thread of the CPU.

    The median of three steps on a copy, after one that is not counted.

    Args:
        network: not modified.
        workload: gives the images.
        batch: images a step.
        clock: the time in seconds.
    """
    torch.set_num_threads(1)
    images = _spread(workload.train, batch)
    small = dataclasses.replace(workload, train=images, validation=_spread(images, 2))
    copied = copy.deepcopy(network)
    steps, runs = [], []
    for _ in range(4):
        began = clock()
        train_network(
            copied,
            small,
            Train(epochs=1, lr=1e-4, batch_size=max(2, len(images))),
            Teaching(),
            generator=torch.Generator().manual_seed(0),
        )
        steps.append(clock() - began)
        began = clock()
        network_logits(copied, images.images, workload)
        runs.append(clock() - began)
    train, infer = (float(np.median(times[1:])) / len(images) for times in (steps, runs))
    return Pace(train, infer)


def _part(workload: Workload, pace: Pace) -> Workload:
    """Return the workload with as many images as train for `PART_SECONDS`, but not too few."""
    images = max(LEAST_IMAGES, int(PART_SECONDS / pace.train))
    share = min(1.0, images / len(workload.train))
    validation = max(LEAST_IMAGES, math.ceil(share * len(workload.validation)))
    return dataclasses.replace(
        workload,
        train=_spread(workload.train, images),
        validation=_spread(workload.validation, validation),
    )


def _spread(split: Split, n: int) -> Split:
    """Return ``n`` images evenly spread over a split, which may be sorted; or all of them."""
    return split.take(np.linspace(0, len(split) - 1, min(n, len(split))).astype(np.int64))


def _scale(outcome: Outcome, recipe: dict[str, Any], ground: _Ground) -> Sample:
    """Return what the trial would take on all images and with all epochs."""
    part, whole, pace = ground.part, ground.whole, ground.pace
    seconds = dict(outcome.payload.seconds)
    training = sum(s for name, s in seconds.items() if name.split()[0] in TRAINING_STAGES)
    checking = seconds.get("measure", 0.0)
    more = len(whole.validation) / len(part.validation)
    short, full = (epochs_of(r) for r in (shortened_recipe(recipe), recipe))
    epoch = training / short * _work(whole, pace) / _work(part, pace) if short else 0.0
    return Sample(
        fixed=sum(seconds.values()) - (training if short else 0.0) + checking * (more - 1),
        epoch=epoch,
        epochs=full,
        size=sum(map(len, outcome.files.values())),
        failed=outcome.reason if outcome.status == "failed" else "",
    )


def _work(workload: Workload, pace: Pace) -> float:
    """Return the cost of an epoch in units of training images; validation images cost less."""
    return len(workload.train) + len(workload.validation) * pace.infer / pace.train


def _teacher_seconds(
    config: SearchConfig, workload: Workload, recipes: Sequence[dict[str, Any]]
) -> float:
    """Return the seconds in which the teacher answers for all trials."""
    views = min(
        cached_views(config.per_trial.teacher_views, workload), max(map(questions_of, recipes))
    )
    teacher = workload.teacher or workload.baseline
    return views * len(workload.train) * measure_pace(teacher, workload).infer if views else 0.0


def _sum_up(
    recipes: Sequence[dict[str, Any]], measured: Sequence[Sample], ground: _Ground
) -> Estimate:
    """Return the estimate: start, baseline, trials, finals and joint measurement."""
    config, workload, pace = ground.config, ground.whole, ground.pace
    trained = [m.epoch for m in measured if m.epochs]
    epoch = fmean(trained) if trained else 0.0
    fixed = fmean(m.fixed for m in measured)
    trial = fixed + fmean(map(epochs_of, recipes)) * epoch
    longer = fixed + fmean(_lengthened_epochs(config, recipes)) * epoch
    trials, workers = config.total_trials(), workers_of(config)
    baseline = _networks(config, workload, fixed, pace)
    teacher = _teacher_seconds(config, workload, recipes)
    size = fmean(m.size for m in measured)
    slower = TOGETHER if workers > 1 else 1.0
    members = min(trials, MEMBERS)
    finals = members * config.final.seeds if config.final.wanted else 0
    final = slower * longer * math.ceil(finals / workers)
    measured_files = finals or members
    front = FRONT_SECONDS + measured_files * len(workload.test) * pace.infer
    front += (
        FRONT_SECONDS if finals else 0.0
    )  # the candidates are measured together before the finals
    of_trials = slower * trial * math.ceil(trials / workers)
    start = RAY_SECONDS if config.executor == "ray" else 0.0
    return Estimate(
        trials=trials,
        workers=workers,
        samples=tuple(measured),
        images=len(ground.part.train),
        of_images=len(workload.train),
        trial=trial,
        baseline=baseline,
        finals=finals,
        final=final,
        search=start + baseline + teacher + of_trials + final + front,
        device=measured_on(config),
        size=int(size * (trials + finals + 1)),
    )


def _lengthened_epochs(config: SearchConfig, recipes: Sequence[dict[str, Any]]) -> list[int]:
    """Return the epochs of each recipe as a final."""
    cheap = config.longest_train()
    full = config.final.length(cheap)
    longer = (lengthened(Recipe.from_dict(recipe), cheap, full) for recipe in recipes)
    return [epochs_of(recipe.to_dict()) for recipe in longer]


def _networks(config: SearchConfig, workload: Workload, fixed: float, pace: Pace) -> float:
    """Return the seconds for the baseline and the teacher: training, export, measurement."""
    epochs = config.baseline.epochs
    images = _work(workload, pace)
    seconds = fixed + (0.0 if config.weights else epochs * images * pace.train)
    if workload.teacher is not None:
        taught = measure_pace(workload.teacher, teacher_as_baseline(workload, config))
        work = _work(workload, taught) * taught.train
        seconds += fixed + (0.0 if config.teacher_weights else epochs * work)
    return seconds
