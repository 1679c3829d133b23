"""The form of those parts of a run's JSON files that are read as plain mappings.

A run folder may come from anywhere. A value of the wrong form is refused, with its file and key,
before anything is computed from it. Keys that are not listed here are ignored.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from slimtune.errors import ConfigError, RunError, from_validation, shortened
from slimtune.results.objectives import OBJECTIVES, is_number

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
"""``"1"`` is no number, and neither are NaN and infinity."""

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, lt=2**53)]
Measure = Annotated[float, Field(ge=-1e300, le=1e300)]
"""Beyond it, products and ratios would overflow."""


class _Architecture(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]

    name: str
    num_classes: Count
    in_channels: Count


class WorkloadFacts(TypedDict, total=False):
    """``workload`` in run.json; an older run lacks some of it."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    fingerprint: str
    validation_source: str
    notes: list[str]
    code: dict[str, str]
    train: Count
    validation: Count
    test: Count
    chance: Share
    classes: list[str]
    mean: list[Measure]
    std: list[Measure]
    augmentation: dict[str, int | bool]
    image_shape: Annotated[list[Count], Field(min_length=3, max_length=3)]
    architecture: _Architecture


class _Baseline(TypedDict, total=False):
    __pydantic_config__ = STRICT  # type: ignore[misc]

    objectives: dict[str, Measure]
    metrics: dict[str, Measure | str | bool | None]
    test_accuracy: Share | None
    test_standard_error: Share | None


_WORKLOAD: TypeAdapter[WorkloadFacts] = TypeAdapter(WorkloadFacts)
_BASELINE: TypeAdapter[_Baseline] = TypeAdapter(_Baseline)


def check_workload(workload: Mapping[str, Any]) -> None:
    """Refuse what cannot be ``workload`` of run.json.

    Raises:
        ConfigError: a key holds something else than it should.
    """
    try:
        _WORKLOAD.validate_python(dict(workload))
    except ValidationError as error:
        raise from_validation(error, "workload") from None
    if not isinstance(workload.get("fingerprint"), str):
        raise ConfigError("workload: has no fingerprint of the data")


def check_baseline(record: Mapping[str, Any], where: str) -> None:
    """Refuse what cannot be the record of a baseline or a teacher.

    Args:
        record: content of its result.json.
        where: the file, for the message.

    Raises:
        RunError: no objectives, or something that cannot have been measured.
    """
    objectives = record.get("objectives")
    if not isinstance(objectives, Mapping) or not all(map(is_number, objectives.values())):
        raise RunError(
            f"{where}: objectives must map names to numbers, got {shortened(objectives)}"
        )
    try:
        _BASELINE.validate_python(dict(record))
    except ValidationError as error:
        raise RunError(f"{where}: {from_validation(error)}") from None
    for name, value in record["objectives"].items():
        if name in OBJECTIVES and (fault := OBJECTIVES[name].fault(value)) is not None:
            raise RunError(f"{where}: {fault}")
