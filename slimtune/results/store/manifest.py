"""run.json: what a run was started with; later only ``config`` may change, by a resume."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from slimtune.errors import ConfigError, from_validation
from slimtune.results.objectives import parse_objectives
from slimtune.results.store.shapes import STRICT, Measure, check_workload

SCHEMA = 1
"""Version of the run folder's layout; a run of another version is refused, not guessed at."""


class Manifest(TypedDict):
    """The keys of run.json.

    ``objectives`` are names; ``reference_point`` gives each of them the value, in its own unit,
    that hypervolume is counted from; ``workload`` holds at least the fingerprint, and the
    ``classes``, ``mean``, ``std`` and ``image_shape`` that an exported member is labelled with,
    and perhaps ``chance``, the accuracy of always naming the most frequent class.
    ``space`` has every dimension of the search space in words, for a resume to compare;
    ``limits`` are the search's constraints, resolved: measured quantity -> limit, in its unit;
    ``start_points`` is how many of the first trials were fixed when the search began, and
    ``first_points`` their parameters (not of a grid, which has them from its space; of it,
    ``twins`` are the positions of recipes left out, for they keep the channels of another).
    """

    __pydantic_config__ = STRICT  # type: ignore[misc]

    schema: int
    created: str
    config: dict[str, Any]
    objectives: list[str]
    reference_point: dict[str, Measure]
    workload: dict[str, Any]
    space: NotRequired[dict[str, str]]
    limits: NotRequired[dict[str, Measure]]
    start_points: NotRequired[int]
    first_points: NotRequired[list[dict[str, Any]]]
    twins: NotRequired[list[int]]
    host: NotRequired[dict[str, Any]]


_ADAPTER: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def complete_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a new run: this schema, this moment, and what was given.

    Raises:
        UserError: as `check_manifest`.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    complete = {"schema": SCHEMA, "created": created, **manifest}
    check_manifest(complete)
    return complete


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest that a run cannot be opened with.

    Raises:
        ConfigError: a key is missing or has the wrong type, or an objective has no reference.
        UserError: the objectives are unknown, repeated or fewer than two.
    """
    try:
        _ADAPTER.validate_python(manifest)
    except ValidationError as error:
        raise from_validation(error) from None
    check_workload(manifest["workload"])
    for objective in parse_objectives(manifest["objectives"]):
        if objective.name not in manifest["reference_point"]:
            raise ConfigError(
                f"reference_point: has no value for the objective '{objective.name}'"
            )
