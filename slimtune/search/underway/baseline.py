"""Exports and measures an uncompressed network, such as the baseline, in the way of a trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.conditions import Conditions
from slimtune.errors import ModelError
from slimtune.search.executors.latency_lane import measure_on_reference_host
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.scores import accuracy_on_test
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.splits import noise_warning
from slimtune.workload.types import Workload

NUMBER = -1
"""Number of the trial that measures an uncompressed network."""


@dataclass(frozen=True)
class MeasuredNetwork:
    """An uncompressed network, with its file and its measurements.

    Attributes:
        outcome: of a trial that changes nothing.
        test: test accuracy, 0..1, and its standard error.
    """

    outcome: Outcome
    test: Mapping[str, float]

    @property
    def record(self) -> dict[str, Any]:
        """The JSON form that the run folder keeps."""
        return {**self.outcome.payload.to_dict(), **self.test}

    @property
    def stored(self) -> tuple[dict[str, Any], Mapping[str, bytes]]:
        """The record and the files, as `RunFolder.begin` takes them."""
        return self.record, self.outcome.files

    @property
    def measured(self) -> dict[str, Any]:
        """Everything that was measured on the validation split and of the file."""
        return {**self.outcome.payload.metrics, **self.outcome.objectives}


def measure_network(workload: Workload, config: SearchConfig, name: str | None) -> MeasuredNetwork:
    """Export and measure the baseline of ``workload`` as it is.

    Args:
        workload: its baseline is measured.
        config: of the search.
        name: of the network, for the message.

    Raises:
        ModelError: it cannot be exported or measured.
    """
    aids = Aids(measure_latency=measure_on_reference_host)
    outcome = run_trial(
        workload, untouched_spec(config), aids, objectives=tuple(config.objectives)
    )
    if outcome.status == "failed":
        raise ModelError(f"{name}: the network itself fails: {outcome.payload.error}")
    return MeasuredNetwork(outcome, accuracy_on_test(workload, outcome.files["model.onnx"]))


def untouched_spec(config: SearchConfig) -> TrialSpec:
    """Return the spec of a trial that does not change the network."""
    recipe = Recipe(train=Train(epochs=0)).to_dict()
    return TrialSpec(number=NUMBER, recipe=recipe, conditions=Conditions(config.seed))


def all_numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return all numbers of a network's record, with those of the test split."""
    test = {name: record[name] for name in ("test_accuracy", "test_standard_error")}
    return {**record["objectives"], **record["metrics"], **test}


def doubts(numbers: Mapping[str, Any], workload: Workload) -> list[str]:
    """Return warnings about a baseline's accuracy.

    Args:
        numbers: from `all_numbers`.
        workload: gives the sizes of the splits.
    """
    text = noise_warning(
        numbers["accuracy"],
        len(workload.validation),
        numbers["test_accuracy"],
        len(workload.test),
    )
    return [] if text is None else [text]
