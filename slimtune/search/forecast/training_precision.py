"""The precision that trials train in: bfloat16 only if every network can be computed in it."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slimtune.compression.calibration import calibration_batch
from slimtune.compression.network.admission import IMAGES
from slimtune.compression.stages import BASELINE, Student
from slimtune.compression.training.precision import computing_in, decide
from slimtune.conditions import Precision
from slimtune.errors import ModelError, in_one_line
from slimtune.search.forecast.checks import student_network, students_of
from slimtune.search.settings.config import SearchConfig
from slimtune.workload.types import Workload


@dataclass(frozen=True)
class TrainingPrecision:
    """The precision that trials train in.

    Attributes:
        precision: of convolutions and matrix products.
        note: why it is float32 although the machine would gain by bfloat16; empty if it is not.
    """

    precision: Precision
    note: str = ""


def training_precision(
    config: SearchConfig,
    workload: Workload,
    students: Sequence[Student] | None = None,
    device: str | None = None,
) -> TrainingPrecision:
    """Decide the precision, and try one training step of every network if it is bfloat16.

    Some layers take no bfloat16 in torch (`nn.Bilinear` beside float32 weights, for one). Shorter
    numbers only save time, so ``auto`` goes without them.

    Args:
        config: of the search.
        workload: its baseline, teacher and images; not changed.
        students: that recipes start from; those of the config's space if not given.
        device: that trials run on; the config's if not given.

    Raises:
        ModelError: the config asks for bfloat16, and a network cannot be computed in it.
    """
    asked = config.per_trial
    device = asked.device if device is None else device
    precision = decide(asked.precision, device, workload.image_shape)
    if precision == "float32":
        return TrainingPrecision(precision)
    students = students_of(config.resolved_space()) if students is None else students
    for name, reason in _failures(workload, students):
        if asked.precision == "auto":
            note = f"trials train in float32, because {name} cannot train in bfloat16: {reason}"
            return TrainingPrecision("float32", note)
        raise ModelError(
            f"per_trial.precision: {name} cannot train in bfloat16 ({reason}); use float32, or "
            "auto, which falls back to it"
        )
    return TrainingPrecision(precision)


def _failures(workload: Workload, students: Sequence[Student]) -> Iterator[tuple[str, str]]:
    """Yield the networks that cannot train in bfloat16, and why.

    On the CPU, whatever trials run on: torch's rules for numbers of two widths are the same, and
    the process that leads a search takes no memory of a GPU.
    """
    images = calibration_batch(workload, IMAGES, "cpu")[0]
    with torch.random.fork_rng([]):
        for name, network in _networks(workload, students):
            if reason := _failure(network, images):
                yield name, reason


def _networks(workload: Workload, students: Sequence[Student]) -> Iterator[tuple[str, nn.Module]]:
    yield workload.architecture.name, workload.baseline
    if workload.teacher is not None:
        yield "the teacher", workload.teacher
    for student in students:
        if student.model != BASELINE:
            yield student.model, student_network(student, workload, "space.student.model")


def _failure(network: nn.Module, images: Tensor) -> str:
    """Return why a copy of a network cannot make a training step; empty if it can."""
    learner = copy.deepcopy(network).cpu().train()
    try:
        with torch.enable_grad():
            with computing_in("bfloat16", images.device):
                logits = learner(images)
            logits.float().sum().backward()
    except Exception as error:  # whatever torch or foreign code raises
        return in_one_line(error)
    return ""
