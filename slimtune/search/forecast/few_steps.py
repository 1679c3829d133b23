"""Warns of training in a space that does not suit the data: too few, too small or large steps."""

import math
from collections.abc import Iterator

from torch import nn

from slimtune.compression.stages import BASELINE
from slimtune.results.units import plural
from slimtune.search.settings.config import SearchConfig
from slimtune.spaces.domains import Domain
from slimtune.spaces.space import Space
from slimtune.workload.types import Workload

LEAST_STEPS = 50
"""Fewest steps of a whole fine-tune. On digits, with half of the channels gone, the best of four
learning rates came back to 0.20 of 0.997 in 7 steps, to 0.95 in 21 and to 0.99 in 56."""
LEAST_REACH = 0.03
"""Least mean learning rate times steps, for SGD. The fine-tune of 56 steps came to 0.97 with
0.08."""
MOST_RATE = {
    ("sgd", "normalised"): (2.0, 1.0),
    ("sgd", "plain"): (0.2, 0.1),
    ("adamw", "normalised"): (0.02, 0.01),
    ("adamw", "plain"): (0.005, 0.003),
}
"""The largest learning rate from which a network comes back, and one that suits it.

For SGD, the learning rate is divided by 1 - momentum, because steps add up. Shampoo takes steps
of SGD's length. Measured on digits, half of the channels gone by l1, 4 epochs of 20 steps, cosine:

- ResNet-18 of torchvision (0.966 before): SGD with momentum 0.9 came back to 0.94 with 0.1, 0.92
  with 0.2, 0.74 with 0.3, 0.16 with 0.5; AdamW to 0.94 with 0.01, 0.52 with 0.03, 0.25 with 0.1.
- ResNet-8x2 (1.000 before): SGD to 0.99 with 0.2, 0.97 with 0.5, 0.82 with 1; AdamW to 0.99 with
  0.01, 0.97 with 0.03, 0.79 with 0.1.
- Four convolutions without normalisation (0.913 before): SGD to 0.88 with 0.01, 0.37 with 0.03 and
  no better than chance from 0.1 on; AdamW to 0.87 with 0.003, 0.28 with 0.01.
"""
MOST_MOMENTUM = 0.9
"""From here on a fine-tune ends before more momentum adds up: ResNet-8x2 came back to 0.97 with
0.1 and a momentum of 0.99, to 0.94 with 0.3; with 0.9 to 0.99 and 0.98, with none to 0.99."""
MOST_PENALTY = 0.1
"""Largest value of `BNScale.sparsity`."""
LEAST_MOVE = 0.05
"""Distance by which a penalty must be able to move a scale; scales of a trained ResNet-20 are
about 0.7."""


def training_doubts(config: SearchConfig, workload: Workload) -> list[str]:
    """Return a line for each setting of training that does not suit the data, with the way out.

    Args:
        config: of the search.
        workload: gives the number of training images, and the layers of the network.
    """
    space, images = config.resolved_space(), len(workload.train)
    return [
        *_few_steps(space, images),
        *_small_steps(space, images),
        *_large_steps(space, workload.baseline),
        *_weak_penalty(space, images),
    ]


def _few_steps(space: Space, images: int) -> Iterator[str]:
    batch = _most(space.stages["train"]["batch_size"])
    an_epoch, epochs = math.ceil(images / batch), _epochs(space)
    steps = an_epoch * epochs
    if 0 < steps < LEAST_STEPS:
        smaller = _batch_for(images, epochs)
        other = "" if smaller is None else f", or --set space.train.batch_size={smaller}"
        yield (
            f"space.train.epochs: {plural(epochs, 'epoch')} of {plural(an_epoch, 'step')} "
            f"({images} images, {batch} a step) are {steps}, and fewer than {LEAST_STEPS} steps "
            f"recover little of what pruning costs; give "
            f"--set space.train.epochs={math.ceil(LEAST_STEPS / an_epoch)}{other}"
        )


def _small_steps(space: Space, images: int) -> Iterator[str]:
    train, epochs = space.stages["train"], _epochs(space)
    if not epochs or tuple(train["optimizer"].ends()) != ("sgd",):
        return
    steps = math.ceil(images / _most(train["batch_size"])) * epochs
    lowest = float(min(train["lr"].ends()))
    if lowest * steps / 2 < LEAST_REACH:
        yield (
            f"space.train.lr: {lowest:g} moves next to nothing in {plural(steps, 'step')}; "
            f"give at least {_round_up(2 * LEAST_REACH / steps)}, or more epochs"
        )


def _large_steps(space: Space, network: nn.Module) -> Iterator[str]:
    train = space.stages["train"]
    rates = {"train": train["lr"]} if _epochs(space) else {}
    learned = space.methods["quantize"].items()
    rates |= {f"quantize.{method}": row["lr"] for method, row in learned if "lr" in row}
    own = space.stages["student"]["model"].ends() == (BASELINE,)
    kind = "plain" if own and not _is_normalised(network) else "normalised"
    momentum = float(max(train["momentum"].ends()))
    for optimizer in train["optimizer"].ends():
        family = "adamw" if optimizer == "adamw" else "sgd"
        scale = 1.0 if family == "adamw" else 1 - min(momentum, MOST_MOMENTUM)
        most, suitable = (scale * rate for rate in MOST_RATE[family, kind])
        by = optimizer if family == "adamw" else f"{optimizer} and momentum {momentum:g}"
        for name, domain in rates.items():
            highest = float(max(domain.ends()))
            if highest > most * (1 + 1e-9):
                end = ", the top of its range," if min(domain.ends()) < highest else ""
                without = " without normalisation layers" if kind == "plain" else ""
                yield (
                    f"space.{name}.lr: {highest:g}{end} is too large with {by}: above {most:.2g} "
                    f"a pruned network{without} hardly comes back; give {suitable:.2g} or less"
                )


def _is_normalised(network: nn.Module) -> bool:
    """Return whether a network has normalisation layers."""
    return any("norm" in type(module).__name__.lower() for module in network.modules())


def _weak_penalty(space: Space, images: int) -> Iterator[str]:
    row, train = space.methods["prune"].get("bn_scale"), space.stages["train"]
    if row is None or not (epochs := _most(row["sparsity_epochs"])):
        return
    steps = math.ceil(images / _most(train["batch_size"])) * epochs
    far = float(max(train["lr"].ends())) / 2 * steps / (1 - float(max(train["momentum"].ends())))
    strongest = float(max(row["sparsity"].ends()))
    if strongest * far < LEAST_MOVE:
        needed = LEAST_MOVE / far
        more = f"{_round_up(needed)} or more, or " if needed <= MOST_PENALTY else ""
        yield (
            f"space.prune.bn_scale.sparsity: {strongest:g} moves a scale by at most "
            f"{strongest * far:.1g} in {plural(steps, 'step')}, so bn_scale ranks by |gamma| "
            f"alone; give {more}more sparsity_epochs, or 0 to save them"
        )


def _epochs(space: Space) -> int:
    """Return the most epochs of fine-tuning in a space; 0 if no recipe is fine-tuned."""
    student = space.stages["student"]["model"].ends() != (BASELINE,)
    methods = [method for stage in ("prune", "distill") for method in space.methods[stage]]
    tuned = student or any(method != "none" for method in methods)
    return _most(space.stages["train"]["epochs"]) if tuned else 0


def _most(domain: Domain) -> int:
    return int(max(domain.ends()))


def _batch_for(images: int, epochs: int) -> int | None:
    """Return the largest batch size, a power of two, with enough steps; None if there is none."""
    sizes = (2**power for power in range(9, 2, -1))
    enough = (b for b in sizes if math.ceil(images / b) * epochs >= LEAST_STEPS)
    return next(enough, None)


def _round_up(value: float) -> str:
    """Return a value rounded up to one digit."""
    scale = 10.0 ** math.floor(math.log10(value))
    return f"{math.ceil(value / scale - 1e-9) * scale:.1g}"
