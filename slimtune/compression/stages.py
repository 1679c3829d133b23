"""The settings of a recipe's stages that do not belong to one method."""

from typing import Annotated, Any, Literal

from pydantic import Field

from slimtune.compression.settings import MOST_EPOCHS, settings

BASELINE = "baseline"
"""The student that is a copy of the trained network."""
MOST_STEP_EPOCHS = 100
"""The most that `Prune.step_epochs` takes."""


@settings
class Student:
    """The network that is compressed: a copy of the baseline, or another one."""

    model: Annotated[
        str, Field(min_length=1, description="baseline, or a zoo name: that network untrained")
    ] = BASELINE
    weights: Annotated[
        str | None, Field(description="checkpoint of another network; trained here without")
    ] = None


@settings
class Prune:
    """The pruning stage: what goes, how much of it, and when."""

    method: Annotated[Any, Field(description="how channels or weights are scored")]
    amount: Annotated[
        float,
        Field(ge=0, lt=1, description="fraction of channels or weights removed; never all"),
    ] = 0.5
    scope: Annotated[
        Literal["local", "stage", "global"],
        Field(description="where the fraction holds: each group, each resolution level, or all"),
    ] = "local"
    round_to: Annotated[
        int,
        Field(ge=1, le=64, description="channels kept are a multiple of this; latency wants 8"),
    ] = 8
    schedule: Annotated[
        Literal["one_shot", "incremental", "soft", "per_epoch"],
        Field(
            description="at once; in steps with recovery between; zeroed at each epoch's end, "
            "free to come back, and removed at last; or rate of the rest at each epoch's end"
        ),
    ] = "one_shot"
    steps: Annotated[int, Field(ge=2, le=20, description="of the incremental schedule")] = 3
    step_epochs: Annotated[
        int, Field(ge=0, le=MOST_STEP_EPOCHS, description="recovery after each step but the last")
    ] = 1
    rate: Annotated[
        float,
        Field(gt=0, lt=1, description="of per_epoch, instead of amount: share of what is left"),
    ] = 0.05


@settings
class Train:
    """Fine-tuning: after pruning with these epochs, and with a quantizer's own epochs after it."""

    epochs: Annotated[
        int, Field(ge=0, le=MOST_EPOCHS, description="passes over the training split")
    ] = 3
    lr: Annotated[float, Field(gt=0, le=10, description="first learning rate")] = 0.01
    optimizer: Annotated[
        Literal["sgd", "adamw", "shampoo"],
        Field(description="SGD is with Nesterov momentum; the others want a smaller lr"),
    ] = "sgd"
    schedule: Annotated[
        Literal["cosine", "step", "exponential", "constant"],
        Field(description="cosine to 0; times decay at 1/2 and 3/4; evenly down to decay; none"),
    ] = "cosine"
    decay: Annotated[
        float, Field(gt=0, le=1, description="factor of the step and exponential schedules")
    ] = 0.1
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="of SGD and Shampoo; AdamW's first beta")
    ] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1, description="on weights, not on norms")] = (
        5e-4
    )
    batch_size: Annotated[int, Field(ge=2, le=65536, description="images a step")] = 128
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of the target spread over all classes")
    ] = 0.0
    mixup: Annotated[
        float,
        Field(ge=0, le=10, description="a of Beta(a, a), by which images are mixed; 0: none"),
    ] = 0.0
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="share of the classifier's input that is dropped")
    ] = 0.0
    recalibrate: Annotated[
        bool | None,
        Field(
            description="measure batch-norm statistics again at the end; kept if it helps; "
            "unset: where weights are removed or rounded and nothing is trained"
        ),
    ] = None
