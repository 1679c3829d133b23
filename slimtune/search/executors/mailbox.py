"""The mailbox between driver and workers: an actor on the driver's host."""

import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from slimtune.search.trial.attempt import FetchEntry
from slimtune.search.trial.spec import Outcome


class Mailbox:
    """Holds the inputs for the workers, and each outcome until the driver takes it.

    It also reads the run's stage store for the workers, which may be on other hosts.

    Args:
        inputs: one Ray reference, to the body of a trial and the inputs that all trials share.
        fetch_entry: reads the stage store.
    """

    def __init__(self, inputs: list[Any], fetch_entry: FetchEntry) -> None:
        self._inputs = inputs
        self._fetch_stage = fetch_entry
        self._outcomes: dict[int, Outcome] = {}
        self._reports: dict[int, tuple[str, Outcome]] = {}
        self._phases: dict[int, str] = {}
        self._starts: dict[int, float] = {}

    def inputs(self) -> list[Any]:
        """Return the reference to the inputs."""
        return self._inputs

    def fetch_entry(self, key: str) -> Mapping[str, bytes] | None:
        """Return the files that the run's stage store holds under a key; None if it holds none."""
        return self._fetch_stage(key)

    def begin(self, number: int) -> None:
        """Note that a trial begins now."""
        self._starts[number] = time.monotonic()

    def elapsed(self, number: int) -> float | None:
        """Return for how many seconds a trial has been running; None if it has not begun."""
        start = self._starts.get(number)
        return None if start is None else time.monotonic() - start

    def put(self, number: int, outcome: Outcome) -> None:
        """Hold the outcome of a trial."""
        self._outcomes[number] = outcome
        self._phases.pop(number, None)

    def enter_phase(self, number: int, phase: str) -> None:
        """Note which phase a trial is in."""
        self._phases[number] = phase

    def phases(self) -> dict[int, str]:
        """Return the last known phase of every running trial."""
        return self._phases

    def take(self, number: int) -> Outcome | None:
        """Return the outcome of a trial and forget it; None if there is none."""
        self._starts.pop(number, None)
        return self._outcomes.pop(number, None)

    def report(self, number: int, name: str, outcome: Outcome) -> None:
        """Hold the state of a trial at a rung; it replaces the trial's earlier report."""
        self._reports[number] = name, outcome

    def read(self, number: int, name: str) -> Outcome | None:
        """Return a report; None if another one has replaced it."""
        latest, outcome = self._reports.get(number, ("", None))
        return outcome if latest == name else None


def make_mailbox(name: str, inputs: Any, fetch_entry: FetchEntry) -> Any:
    """Return a `Mailbox` as an actor on this host, which takes no CPU from the trials.

    Args:
        name: by which workers find it.
        inputs: a reference.
        fetch_entry: as for `Mailbox`.
    """
    here = ray.get_runtime_context().get_node_id()
    options = {
        "name": name,
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False),
    }
    # In a list, because Ray would replace a bare reference by what it refers to.
    return ray.remote(Mailbox).options(**options).remote([inputs], fetch_entry)
