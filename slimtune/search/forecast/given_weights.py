"""Checks given weights on the data: do they classify the images, as they are normalised?

Before anything is trained, a few hundred images go through the network, with the normalisation in
use and with other usual ones. If one of these is surely better, a warning says what to type for
it. A baseline that is no better than guessing ends the search.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from torch import nn

from slimtune.compression.network.copies import copied
from slimtune.compression.stages import BASELINE
from slimtune.compression.training.loop import network_logits
from slimtune.errors import ModelError
from slimtune.measurement.cost import count_cost
from slimtune.measurement.significance import binomial_tail, chance_of_winning
from slimtune.results.units import percent
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.students import build_student
from slimtune.workload.normalisation import (
    CIFAR10_PIXELS,
    CLIP,
    MNIST,
    NORMALISATIONS,
    RAW,
    in_words,
    option_of,
)
from slimtune.workload.own_code import object_key
from slimtune.workload.sources.assembly import channel_statistics
from slimtune.workload.sources.fit import split_options, with_options
from slimtune.workload.types import Split, Workload

IMAGES = 300
"""Images of validation, and of train, that are used; about as many of each class."""
_FEWER_IMAGES = {1e10: 60, 1e9: 120}
"""The same for networks with more MACs than this."""
_FOR_STATISTICS = 2000
_STUDENT = "student"
GUESSING = 0.001
"""A baseline is near chance if guessing is right as often with at least this probability."""
BETTER = 0.001
"""Another normalisation is named if chance explains its lead with less than this probability,
divided by the number of those that are tried."""

_Numbers = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class NormalisationScore:
    """The result with one normalisation.

    Attributes:
        option: what to type for the normalisation, such as ``"mean=half,std=half"``.
        right: number of correctly classified images.
    """

    option: str
    right: int


@dataclass(frozen=True)
class WeightsCheck:
    """The result of checking one network.

    Attributes:
        what: ``"baseline"``, ``"teacher"`` or ``"student FILE"``.
        images: number of images, of validation and of train.
        chance: accuracy of always naming the commonest class, or of naming a random class,
            whichever is more; 0..1.
        as_it_is: with the normalisation in use.
        words: that normalisation in words.
        others: with the other normalisations, the best first.
        better: the best of these, if it is surely better.
        data: reference of the data with the option for the better one.
    """

    what: str
    images: int
    chance: float
    as_it_is: NormalisationScore
    words: str
    others: tuple[NormalisationScore, ...]
    better: NormalisationScore | None
    data: str

    @property
    def is_near_chance(self) -> bool:
        """Whether the network is no better than guessing, by an exact binomial test.

        False if there are too few images for the test to tell.
        """
        could_tell = self.chance**self.images <= GUESSING
        return could_tell and self.p_value > GUESSING

    @property
    def p_value(self) -> float:
        """Probability that guessing classifies as many images correctly, or more."""
        return binomial_tail(self.as_it_is.right, self.images, self.chance)

    def share_of(self, score: NormalisationScore) -> str:
        """Return the share of images that are right with a normalisation, in percent."""
        return percent(score.right / self.images)

    def advice(self) -> str:
        """Return what to type for a better normalisation; empty if none is surely better."""
        if self.better is None:
            return ""
        way_out = f"type --data '{self.data}'"
        if object_key(split_options(self.data)[0]) is not None:
            pairs = (part.split("=") for part in self.better.option.split(","))
            words = ", ".join(f"'{key}': '{value}'" for key, value in pairs)
            way_out = f"give preprocessing={{{words}}}"
        if self.what != "baseline":
            way_out = f"give a {self.what.split()[0]} that was trained with the baseline's"
        return (
            f"normalised by {self.better.option}, the {self.what} has "
            f"{self.share_of(self.better)} of {self.images} images right; by "
            f"{self.words}, {self.share_of(self.as_it_is)}: {way_out}"
        )

    def warning(self) -> str:
        """Return what is wrong with the weights, and the ways out; empty if nothing is."""
        if not self.is_near_chance:
            return self.advice()
        ways = self.advice() or (
            f"no usual normalisation does better than {self.words}; check that weights, classes "
            "and their order belong together"
        )
        return (
            f"the {self.what} is near chance: it has {self.as_it_is.right} of {self.images} "
            f"images right ({self.share_of(self.as_it_is)}), guessing has "
            f"{percent(self.chance)}, and guessing is as good with probability "
            f"{self.p_value:.2g}; {ways}"
        )


def check_given_weights(
    config: SearchConfig, workload: Workload, warn: Callable[[str], None]
) -> None:
    """Check all networks that are given trained: warn of them, or refuse them.

    A network that is trained without a weights file, and a student with weights of its own, give
    only a warning.

    Args:
        config: of the search.
        workload: before anything is trained.
        warn: called with what is wrong with the weights.

    Raises:
        ModelError: a baseline or teacher with given weights is near chance, and the config
            does not allow that.
    """
    weights = {"baseline": config.weights, "teacher": config.teacher_weights}
    for check in (*check_weights(config, workload), *_students(config, workload)):
        refused = weights.get(check.what) is not None and not config.allow_weak_baseline
        if check.is_near_chance and refused:
            raise ModelError(
                f"{check.warning()}{_untrained_words(weights[check.what])}; or continue anyway "
                "with --allow-weak-baseline"
            )
        if text := check.warning():
            warn(text)


def _untrained_words(weights: str | None) -> str:
    """Return the way out for an untrained module that was given as an object."""
    if weights is None or object_key(weights) != "model":
        return ""
    return "; a module is taken as trained: give what makes it to have it trained here"


def check_weights(config: SearchConfig, workload: Workload) -> list[WeightsCheck]:
    """Return the results of baseline and teacher, if they are given trained."""
    checks = []
    if config.weights is not None or config.baseline.epochs == 0:
        checks.append(_check_network(workload, workload.baseline, "baseline"))
    if workload.teacher is not None and config.teacher_weights is not None:
        checks.append(_check_network(workload, workload.teacher, "teacher"))
    return checks


def _students(config: SearchConfig, workload: Workload) -> Iterator[WeightsCheck]:
    students = config.resolved_space().stages["student"]
    for name, weights in product(students["model"].ends(), students["weights"].ends()):
        if weights is not None and name != BASELINE:
            architecture = dataclasses.replace(workload.architecture, name=str(name))
            network = build_student(architecture, str(weights)).eval()
            yield _check_network(workload, network, f"{_STUDENT} {weights}")


def _check_network(workload: Workload, network: nn.Module, what: str) -> WeightsCheck:
    network = copied(network, workload.image_shape)
    macs = count_cost(network, workload.image_shape).macs
    most = next((n for above, n in _FEWER_IMAGES.items() if macs > above), IMAGES)
    parts = [some_images(part, most) for part in (workload.validation, workload.train)]
    some = Split(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )

    def right(numbers: _Numbers) -> np.ndarray:
        mean, std = numbers
        normalised = dataclasses.replace(workload, mean=mean, std=std)
        hits = (
            network_logits(network, some.images, normalised).argmax(dim=1).numpy() == some.labels
        )
        return np.asarray(hits)

    current = right((workload.mean, workload.std))
    results = {numbers: right(numbers) for numbers in usual_normalisations(workload)}
    best = sorted(results, key=lambda numbers: -int(results[numbers].sum()))
    better = None
    if best:
        only, lost = (
            int(np.sum(results[best[0]] & ~current)),
            int(np.sum(current & ~results[best[0]])),
        )
        better = best[0] if chance_of_winning(only, lost) < BETTER / len(results) else None
    shares = np.bincount(some.labels) / len(some)
    others = tuple(NormalisationScore(option_of(*each), int(results[each].sum())) for each in best)
    option = option_of(*better) if better else ""
    return WeightsCheck(
        what=what,
        images=len(some),
        chance=max(1 / len(workload.classes), float(shares.max())),
        as_it_is=NormalisationScore(option_of(workload.mean, workload.std), int(current.sum())),
        words=in_words(workload.mean, workload.std, workload.normalised_by),
        others=others,
        better=others[0] if better else None,
        data=with_options(workload.dataset, option) if option else workload.dataset,
    )


def some_images(split: Split, most: int) -> Split:
    """Return about ``most`` images, spread over the split, about equally many of each class."""
    classes = np.unique(split.labels)
    each = max(1, most // len(classes))
    chosen = np.sort(np.concatenate([_spread(split.labels == c, each) for c in classes]))
    return split.take(chosen[_spread(np.ones(len(chosen), bool), most)])


def _spread(where: np.ndarray, most: int) -> np.ndarray:
    places = np.flatnonzero(where)
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).astype(np.int64)]


def usual_normalisations(workload: Workload) -> list[_Numbers]:
    """Return the usual normalisations of trained networks, except for the one in use."""
    channels = workload.image_shape[0]
    few = workload.train.images[_spread(np.ones(len(workload.train), bool), _FOR_STATISTICS)]
    own = tuple(tuple(round(number, 4) for number in part) for part in channel_statistics(few))
    candidates = [*NORMALISATIONS.values(), CIFAR10_PIXELS, CLIP, (own[0], own[1]), RAW]
    if channels == 1:
        candidates.append(MNIST)
    others: list[_Numbers] = []
    for mean, std in candidates:
        if len(mean) in (1, channels):
            full = mean * (channels // len(mean)), std * (channels // len(std))
            if full not in others and not np.allclose(full, (workload.mean, workload.std)):
                others.append(full)
    return others
