"""What every trial gets: CPUs, a share of a GPU, and time."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from slimtune.compression.training.precision import Wanted, decide
from slimtune.conditions import Precision
from slimtune.errors import UserError
from slimtune.results.units import parse_duration


class PerTrialSettings(BaseModel):
    """The group ``per_trial`` of a search's settings. None of them changes what is searched."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cpus: Annotated[
        int, Field(ge=1, description="whole CPUs, and as many threads; other bits than with 1")
    ] = 1
    gpus: Annotated[
        float, Field(ge=0, le=1, description="0 trains on the CPU; 0.25 lets four share a GPU")
    ] = 0.0
    timeout: Annotated[
        str | None, Field(description="a trial that takes longer is ended and fails, such as 10m")
    ] = None
    precision: Annotated[
        Wanted,
        Field(
            description="of convolutions in training; auto: bfloat16 where the machine has "
            "instructions for it and images at least 16 pixels, else float32"
        ),
    ] = "auto"
    teacher_views: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="augmented views of each image for which a teacher's logits are kept "
            "and shared by all trials; 0: it is run in every step",
        ),
    ] = 8

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, text: str | None) -> str | None:
        try:
            if text is not None:
                parse_duration(text)
        except UserError as error:
            raise ValueError(str(error)) from None
        return text

    @property
    def timeout_seconds(self) -> float | None:
        """The time that a trial may take; None for no limit."""
        return None if self.timeout is None else parse_duration(self.timeout)

    @property
    def device(self) -> str:
        """The torch device of a trial with these resources; one GPU is all that it sees."""
        return "cuda:0" if self.gpus else "cpu"

    def trains_in(self, image_shape: tuple[int, int, int]) -> Precision:
        """Return the precision that trials train in, decided for this machine and these images.

        Args:
            image_shape: (channels, height, width).
        """
        return decide(self.precision, self.device, image_shape)
