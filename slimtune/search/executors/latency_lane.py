"""The latency lane: one host measures latency for all trials, one file at a time.

The lane is a Ray actor of the search's own job, and it is started before the trials. It reserves
no CPU: trials wait for it while they hold every CPU, so a reservation would never be granted.
Trials on its host pause while it measures (`QuietWindow`). Work of others on that host continues,
and the probes of `measure_latency` detect it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from slimtune.errors import ConfigError, SlimtuneError, TrialError
from slimtune.measurement.latency import Latency, measure_latency
from slimtune.measurement.quiet_window import QuietWindow

RESOURCE = "latency"
"""What the reference host of a cluster declares: ``ray start --resources='{"latency": 1}'``."""
READY_SECONDS = 60.0
"""Seconds that a lane on another host may take to start."""
END_SECONDS = 5.0
"""Seconds that the name of a lane may take to become free again."""
WINDOW_SECONDS = 1.0
"""Seconds that a lane may take to delete its flag."""
LOOK_SECONDS = 10.0
"""Seconds after which a waiting trial checks that the lane still exists."""


class _Lane:
    """The actor. One process measures all files, because it learns how fast its host can be."""

    def __init__(self) -> None:
        self._quiet: QuietWindow | None = None

    def ready(self) -> None:
        """Do nothing: an answer shows that the process has started."""

    def measure(self, files: list[bytes], options: dict[str, Any]) -> list[Latency]:
        if self._quiet is None:
            self._quiet = quiet_window(create=True)
        with self._quiet.open():
            return measure_latency(files, **options)

    def remove_window(self) -> None:
        if self._quiet is not None:
            self._quiet.remove()


def measure_on_reference_host(files: Sequence[Path | bytes], **options: Any) -> list[Latency]:
    """Measure latencies with `measure_latency` in the lane; in this process if there is no lane.

    Args:
        files: as for `measure_latency`; their content is sent to the lane.
        **options: as for `measure_latency`.

    Raises:
        ModelError: as `measure_latency`.
        DataError: as `measure_latency`.
        TrialError: the reference host is gone.
    """
    lane = _find_lane()
    if lane is None:
        return measure_latency(files, **options)
    contents = [file if isinstance(file, bytes) else file.read_bytes() for file in files]
    answer = lane.measure.remote(contents, options)
    while True:
        try:
            measured: list[Latency] = ray.get(answer, timeout=LOOK_SECONDS)
            return measured
        except GetTimeoutError:  # other trials are first, or Ray restarts the lane
            if _find_lane() is None:
                raise TrialError("the latency lane has ended") from None
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError as error:
            reason = str(error).splitlines()[0]
            raise TrialError(f"latency cannot be measured, its host is gone: {reason}") from None


@contextmanager
def latency_lane(warn: Callable[[str], None] | None = None) -> Iterator[None]:
    """Provide a lane within the block; Ray must be initialised.

    A lane that exists already is used, and stays. A new one is placed on the node that declares
    the resource ``latency``, or else on the driver's node.

    Args:
        warn: called if there are several nodes and none declares the resource.

    Raises:
        ConfigError: several nodes declare it.
        SlimtuneError: the node does not start the lane.
    """
    if _find_lane() is not None:
        yield
        return
    lane: Any = ray.remote(_Lane).options(**_actor_options(warn)).remote()
    try:
        _wait_for_start(lane)
        yield
    finally:
        _remove_window(lane)
        ray.kill(lane)
        _wait_for_free_name()


def _actor_options(warn: Callable[[str], None] | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "name": _lane_name(),
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 3,
    }
    alive = [node for node in ray.nodes() if node["Alive"]]
    declaring = [node for node in alive if node["Resources"].get(RESOURCE, 0) >= 1]
    if len(declaring) > 1:
        names = ", ".join(sorted(node["NodeManagerHostname"] for node in declaring))
        raise ConfigError(
            f"{len(declaring)} nodes of the cluster declare the resource {RESOURCE} ({names}), "
            "but latencies of two hosts cannot be compared; declare it on one"
        )
    if declaring:
        return {**options, "resources": {RESOURCE: 1}}
    if len(alive) > 1 and warn is not None:
        warn(
            f"no node of the cluster declares the resource {RESOURCE}, so latency is measured on "
            f"this host; start the reference host with --resources='{{\"{RESOURCE}\": 1}}'"
        )
    here = ray.get_runtime_context().get_node_id()
    strategy = NodeAffinitySchedulingStrategy(here, soft=False)
    return {**options, "scheduling_strategy": strategy}


def _wait_for_start(lane: Any) -> None:
    """Wait for a lane on another host to start; one on this host starts at once."""
    here = ray.get_runtime_context().get_node_id()
    elsewhere = [
        node
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here and node["Resources"].get(RESOURCE, 0) >= 1
    ]
    if not elsewhere:
        return
    try:
        ray.get(lane.ready.remote(), timeout=READY_SECONDS)
    except GetTimeoutError:
        host = elsewhere[0]["NodeManagerHostname"]
        raise SlimtuneError(
            f"the latency lane has not started on {host} within {READY_SECONDS:g} s: another "
            f"search measures there; wait for its end, or declare {RESOURCE}: 2 for two at once"
        ) from None
    except RayActorError as error:
        reason = " ".join(str(error).split())
        raise SlimtuneError(f"the latency lane cannot start: {reason}") from None


def _remove_window(lane: Any) -> None:
    """Delete the flag in shared memory, on this host and on the lane's."""
    quiet_window().remove()
    with suppress(RayError):  # the lane is busy or gone; then some bytes stay on its host
        ray.get(lane.remove_window.remote(), timeout=WINDOW_SECONDS)


def _wait_for_free_name() -> None:
    """Wait until the name of the lane is free, because the next lane of this job needs it."""
    deadline = time.monotonic() + END_SECONDS
    while _find_lane() is not None and time.monotonic() < deadline:
        time.sleep(0.02)


def _find_lane() -> Any:
    """Return the lane of this job; None if there is no lane or no Ray."""
    if not ray.is_initialized():
        return None
    try:
        return ray.get_actor(_lane_name())
    except ValueError:
        return None


def quiet_window(create: bool = False) -> QuietWindow:
    """Return the quiet window of this job's lane, which only processes on its host share.

    Args:
        create: make the window; only the lane does.
    """
    context = ray.get_runtime_context()
    return QuietWindow(f"{context.gcs_address}/{context.get_job_id()}", create)


def _lane_name() -> str:
    return f"slimtune-latency-{ray.get_runtime_context().get_job_id()}"
