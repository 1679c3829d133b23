"""Settings of the finals, in which members of the front run again after the search."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slimtune.errors import ConfigError

MAY_CHANGE = ("final.epochs", "final.repeats")
"""A resume may change both: finals of different lengths are kept side by side."""


class FinalSettings(BaseModel):
    """At the end, the members of the front run again: longer, and with other seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: Annotated[
        int | None,
        Field(
            ge=1,
            le=1000,
            description="fine-tuning epochs of the front's members, which run again at the end",
        ),
    ] = None
    repeats: Annotated[
        int | None,
        Field(
            ge=1,
            le=100,
            description="number of seeds that each member runs again with; if unset, 1",
        ),
    ] = None

    @property
    def wanted(self) -> bool:
        """Whether there are finals."""
        return self.epochs is not None or self.repeats is not None

    @property
    def seeds(self) -> int:
        """Number of seeds with which each member runs again."""
        return self.repeats or 1

    def length(self, cheap: int) -> int:
        """Return the epochs of the longest fine-tune, which in the search took ``cheap``."""
        return cheap if self.epochs is None else self.epochs


def check_final(final: FinalSettings, cheap: int, seeds: tuple[int, ...]) -> None:
    """Check that finals make sense after the search.

    Args:
        final: the settings.
        cheap: epochs of the search's longest fine-tune.
        seeds: with which a grid runs every recipe.

    Raises:
        ConfigError: a final shorter than the trial, nothing to lengthen, or a grid that repeats
            every recipe by itself.
    """
    if final.wanted and seeds:
        raise ConfigError(
            f"final: a grid with seeds has run every recipe {len(seeds)} times, and "
            "slimtune summary shows the spread; leave out seeds, or final.epochs and final.repeats"
        )
    if final.epochs is None:
        return
    if cheap == 0:
        raise ConfigError(
            f"final.epochs: lengthens fine-tunes to {final.epochs} epochs, but the search has "
            "space.train.epochs 0, so there are none; give --epochs, or --repeats alone"
        )
    if final.epochs < cheap:
        raise ConfigError(
            f"final.epochs: must be at least {cheap}, the search's own space.train.epochs, but "
            f"got {final.epochs}; give more, or fewer --epochs to the search"
        )
