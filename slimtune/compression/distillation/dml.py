"""Deep mutual learning: two peers that teach each other."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from slimtune.compression.distillation.base import softened_divergence
from slimtune.compression.distillation.protocol import DISTILLATION, Batch, Distiller
from slimtune.compression.settings import settings


@DISTILLATION.register("dml")
@settings
class MutualLearning(Distiller):
    """Cross entropy plus the divergence from a peer that trains at the same time.

    ``loss = hard + w * KL(softmax(peer) || softmax(student))``; the peer, a copy of the teacher,
    minimises the same with the roles swapped. Each treats the other's probabilities as constants.
    Only the student is kept, but training costs as much as two networks. Each fine-tune of a
    recipe begins with a new peer.

    Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018, arXiv:1706.00384, whose w
    is 1; the paper updates the peers in turns; here one forward pass gives both updates.
    """

    peer_weight: Annotated[
        float, Field(ge=0, le=100, description="w, weight of the divergence from the peer")
    ] = 1.0

    mutual = True
    reference = "Zhang et al., CVPR 2018, arXiv:1706.00384"

    @property
    def needs_teacher(self) -> bool:
        """True, unless ``peer_weight`` is 0."""
        return self.peer_weight > 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed loss, a scalar."""
        if batch.teacher is None:
            return batch.hard
        return batch.hard + self.peer_weight * softened_divergence(
            batch.student, batch.teacher, 1.0
        )
