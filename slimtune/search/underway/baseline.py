"""The network that is compressed, or another, as it is: exported and measured as a trial is."""

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
"""Of the trial that measures a network as it is."""


@dataclass(frozen=True)
class MeasuredNetwork:
    """An untouched network with its file and its numbers.

    Attributes:
        outcome: of a trial that does nothing to it.
        test: its test accuracy and the standard error of that.
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
        """All that was measured on the validation split and the file."""
        return {**self.outcome.payload.metrics, **self.outcome.objectives}


def measure_network(workload: Workload, config: SearchConfig, name: str | None) -> MeasuredNetwork:
    """Export and measure the untouched baseline of ``workload``.

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
    """Return the spec of a trial that does nothing to the network."""
    recipe = Recipe(train=Train(epochs=0)).to_dict()
    return TrialSpec(number=NUMBER, recipe=recipe, conditions=Conditions(config.seed))


def all_numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a network's record holds of numbers, those of the test split too."""
    test = {name: record[name] for name in ("test_accuracy", "test_standard_error")}
    return {**record["objectives"], **record["metrics"], **test}


def doubts(numbers: Mapping[str, Any], workload: Workload) -> list[str]:
    """Return warnings about a baseline's accuracy, from `all_numbers`."""
    text = noise_warning(
        numbers["accuracy"],
        len(workload.validation),
        numbers["test_accuracy"],
        len(workload.test),
    )
    return [] if text is None else [text]
