"""Settings of each trial: its CPUs, its share of a GPU, its time limit."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from slimtune.compression.training.precision import PrecisionChoice
from slimtune.errors import UserError
from slimtune.results.parsing import parse_duration


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except UserError as error:
        raise ValueError(str(error)) from None
    return text


Duration = Annotated[str, AfterValidator(_duration)]
"""A time as people write it, such as ``10m`` or ``1h30m``."""


class PerTrialSettings(BaseModel):
    """What each trial may use. None of these settings changes what is searched."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cpus: Annotated[
        int,
        Field(
            ge=1, description="whole CPUs, and as many threads; changes the last bits of weights"
        ),
    ] = 1
    gpus: Annotated[
        float, Field(ge=0, le=1, description="0 trains on the CPU; 0.25 lets four share a GPU")
    ] = 0.0
    timeout: Annotated[
        Duration | None,
        Field(description="time after which a trial is ended and counts as failed, such as 10m"),
    ] = None
    precision: Annotated[
        PrecisionChoice,
        Field(
            description="number format of convolutions in training; auto: bfloat16 if the "
            "machine has instructions for it and images have at least 16 pixels, else float32"
        ),
    ] = "auto"
    teacher_views: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="number of augmented views of each image whose teacher logits are kept "
            "and shared by all trials; 0: the teacher runs at every step",
        ),
    ] = 8

    @property
    def timeout_seconds(self) -> float | None:
        """The time limit of a trial in seconds; None for no limit."""
        return None if self.timeout is None else parse_duration(self.timeout)

    @property
    def device(self) -> str:
        """The torch device of a trial; a trial sees at most one GPU."""
        return "cuda:0" if self.gpus else "cpu"
