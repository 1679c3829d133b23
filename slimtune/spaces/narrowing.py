"""Which values of a dimension fit a method, and which dimension decides about others."""

from collections.abc import Mapping

from slimtune.compression.pruning import PRUNING
from slimtune.compression.recipe import DURING_TRAINING
from slimtune.errors import ConfigError
from slimtune.spaces.domains import Choice, Domain

_UNFIT = {"scope": ("stage",), "schedule": DURING_TRAINING}  # of methods that remove weights


def in_order(row: Mapping[str, Domain]) -> list[tuple[str, Domain]]:
    """Return a stage's dimensions, the schedule first if it decides which others there are."""
    deciding = "schedule" in row and "per_epoch" in row["schedule"].ends()
    return sorted(row.items(), key=lambda item: deciding and item[0] != "schedule")


def narrowed(domain: Domain, stage: str, name: str, method: str) -> Domain:
    """Return ``domain`` without the values that do not fit ``method``.

    Raises:
        ConfigError: none fits.
    """
    if not isinstance(domain, Choice) or stage != "prune" or method == "none":
        return domain
    unfit = _UNFIT.get(name, ()) if PRUNING[method].removes == "weights" else ()
    values = tuple(value for value in domain.values if value not in unfit)
    if not values:
        raise ConfigError(
            f"space.prune.{name}: {method} removes single weights, which does not work with "
            f"{domain.values[0]}; add another value, or leave the method out"
        )
    return Choice(values)


def removes_weights(method: str) -> bool:
    """Return whether a pruning method takes single weights and no channels."""
    return method != "none" and PRUNING[method].removes == "weights"
