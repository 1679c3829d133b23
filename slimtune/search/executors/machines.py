"""What a search runs on: this host or a cluster, looked at before anything is trained."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import ray
import torch

from slimtune.measurement.host import usable_cores
from slimtune.search.executors.latency_lane import latency_lane
from slimtune.search.executors.ray_folder import check_folder
from slimtune.search.executors.ray_session import check_fits, fitting, ray_nodes, ray_session
from slimtune.search.executors.ray_tune import pickled_bytes
from slimtune.search.settings.config import SearchConfig


@contextmanager
def machines(
    config: SearchConfig,
    warn: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Have what a search runs on within the block, a cluster joined and its latency lane ready.

    A Ray of this host alone is not started yet: the baseline is trained without it.

    Args:
        config: of the search.
        warn: told what is not as the user may expect.

    Raises:
        ConfigError: not even one trial fits, or the cluster cannot be reached.
    """
    if config.executor == "inline" or (config.ray_address is None and not ray.is_initialized()):
        check_fits([_this_host()], config.per_trial.cpus, config.per_trial.gpus, "this host")
        if config.executor != "inline":
            check_folder()
        yield
        return
    with (
        ray_session(
            config.ray_address,
            concurrency=config.concurrency or 1,
            cpus=config.per_trial.cpus,
            gpus=config.per_trial.gpus,
            shared_bytes=0,
        ),
        latency_lane(warn),
    ):
        yield


def start_ray(config: SearchConfig, shared: object) -> None:
    """Start the Ray that trials of a search will run on, within `keep_ray` and its `machines`.

    One that cannot be started is known before hours of training then.

    Args:
        config: of the search.
        shared: what all trials will read; decides the room for it.

    Raises:
        SlimtuneError: Ray cannot be started.
    """
    if config.executor == "inline" or ray.is_initialized():
        return
    with ray_session(
        None,
        concurrency=workers(config),
        cpus=config.per_trial.cpus,
        gpus=config.per_trial.gpus,
        shared_bytes=pickled_bytes(shared),
    ):
        pass


def workers(config: SearchConfig) -> int:
    """Return how many trials run at a time: as many as were asked for, if so many fit.

    Args:
        config: of the search, within whose `machines` this is called.
    """
    if config.executor == "inline":
        return 1
    nodes: Iterable[Mapping[str, float]] = ray_nodes() if ray.is_initialized() else [_this_host()]
    fit = fitting(nodes, config.per_trial.cpus, config.per_trial.gpus)
    return max(1, min(config.concurrency or fit, fit))


def _this_host() -> dict[str, float]:
    return {"CPU": usable_cores(), "GPU": torch.cuda.device_count()}
