"""The machines of a search: this host or a cluster, checked before anything is trained."""

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
    """Check the machines of a search, and stay connected to its cluster within the block.

    A cluster is joined, and its latency lane is started. A Ray on this host alone is not started
    yet, because the baseline is trained without it.

    Args:
        config: of the search.
        warn: called with what the user may not expect.

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
    """Start the Ray that the trials of a search will run on; call it within `keep_ray`.

    A Ray that cannot start then ends the search before hours of training.

    Args:
        config: of the search.
        shared: the inputs of all trials, whose size decides the size of the object store.

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
    """Return how many trials run at a time: as many as the config asks for, if so many fit.

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
