"""The settings of a recipe's stages that do not belong to one method."""

from typing import Annotated, Any, Literal

from pydantic import Field

from slimtune.compression.settings import MOST_EPOCHS, settings

BASELINE = "baseline"
"""The student that is a copy of the trained network."""
MOST_STEP_EPOCHS = 100
"""The largest value of `Prune.step_epochs`."""


@settings
class Student:
    """The network that is compressed: a copy of the baseline, or another one."""

    model: Annotated[
        str,
        Field(min_length=1, description="baseline, or a zoo name for another network, untrained"),
    ] = BASELINE
    weights: Annotated[
        str | None,
        Field(description="checkpoint of another network; if unset, it is trained here"),
    ] = None


@settings
class Prune:
    """The pruning stage: what is removed, how much, and when."""

    method: Annotated[Any, Field(description="how channels or weights are scored")]
    amount: Annotated[
        float,
        Field(ge=0, lt=1, description="fraction of channels or weights that is removed"),
    ] = 0.5
    scope: Annotated[
        Literal["local", "stage", "global"],
        Field(
            description="where the fraction holds: local: each group; stage: each resolution "
            "level; global: the whole network"
        ),
    ] = "local"
    round_to: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="channel counts are multiples of this; 8 gives the best latency",
        ),
    ] = 8
    schedule: Annotated[
        Literal["one_shot", "incremental", "soft", "per_epoch"],
        Field(
            description="one_shot: at once; incremental: in steps with recovery between them; "
            "soft: zeroed at the end of each epoch, free to come back, removed in the end; "
            "per_epoch: rate of the rest is removed at the end of each epoch"
        ),
    ] = "one_shot"
    steps: Annotated[
        int, Field(ge=2, le=20, description="number of steps of the incremental schedule")
    ] = 3
    step_epochs: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_STEP_EPOCHS,
            description="epochs of recovery after each step but the last",
        ),
    ] = 1
    rate: Annotated[
        float,
        Field(
            gt=0, lt=1, description="share of what is left that per_epoch removes; replaces amount"
        ),
    ] = 0.05


@settings
class Train:
    """Fine-tuning after pruning; a quantizer that learns has epochs of its own."""

    epochs: Annotated[
        int, Field(ge=0, le=MOST_EPOCHS, description="passes over the training split")
    ] = 3
    lr: Annotated[float, Field(gt=0, le=10, description="initial learning rate")] = 0.01
    optimizer: Annotated[
        Literal["sgd", "adamw", "shampoo"],
        Field(description="sgd has Nesterov momentum; the others need a smaller lr"),
    ] = "sgd"
    schedule: Annotated[
        Literal["cosine", "step", "exponential", "constant"],
        Field(description="cosine: to 0; step: times decay at 1/2 and 3/4; exponential: to decay"),
    ] = "cosine"
    decay: Annotated[
        float, Field(gt=0, le=1, description="factor of the schedules step and exponential")
    ] = 0.1
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="momentum of SGD and Shampoo, first beta of AdamW")
    ] = 0.9
    weight_decay: Annotated[
        float, Field(ge=0, le=1, description="applies to weights, not to norms")
    ] = 5e-4
    batch_size: Annotated[int, Field(ge=2, le=65536, description="images per step")] = 128
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of the target that is spread over all classes")
    ] = 0.0
    mixup: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="a of Beta(a, a), which draws the mixing ratios of images; 0: no mixup",
        ),
    ] = 0.0
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="share of the classifier's input that is dropped")
    ] = 0.0
    recalibrate: Annotated[
        bool | None,
        Field(
            description="measure batch-norm statistics again at the end, and keep them if they "
            "help; unset: if weights are removed or rounded and nothing is trained"
        ),
    ] = None
