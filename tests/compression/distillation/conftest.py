"""The worked example of reference/algorithms.md 5.1, as a training step sees it."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from slimtune.compression.distillation.protocol import Batch

STUDENT = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0], [1.0, 0.0, 2.0]])
LABELS = torch.tensor([0, 2])


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """A function from what is special about a step to the step; the rest is the example."""

    def make(
        student: Tensor = STUDENT,
        teacher: Tensor | None = TEACHER,
        labels: Tensor = LABELS,
        mixed_labels: Tensor | None = None,
        **more: object,
    ) -> Batch:
        mixed = labels if mixed_labels is None else mixed_labels
        values = {"hard": F.cross_entropy(student, labels), "progress": 1.0, **more}
        return Batch(student=student, teacher=teacher, labels=labels, mixed_labels=mixed, **values)

    return make
