"""Starts or joins Ray for one search, keeps it quiet, and restores the process afterwards."""

import functools
import logging
import math
import os
import re
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from slimtune.errors import ConfigError, SlimtuneError
from slimtune.search.executors.latency_lane import RESOURCE
from slimtune.search.executors.ray_folder import RayFolder
from slimtune.search.executors.shipping import runtime_env
from slimtune.search.listeners.last_words import LastWords

OBJECT_STORE_BYTES = 512 * 2**20
"""Of a Ray that we start. It can be small, because outcomes pass through one at a time."""
STARTS = 2
"""Attempts to start Ray. It waits half a minute for its daemons, too short on a busy host."""
PROBE_SECONDS = 5.0
"""Seconds that an address may take to accept a connection; Ray itself tries for minutes."""

SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative path means the same in every executor
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 leaves trials 3 % of a core that others want too
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # never: the study is the only truth
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
"""Environment of the driver while Tune runs."""


@contextmanager
def ray_session(
    address: str | None,
    *,
    concurrency: int,
    cpus: float,
    gpus: float,
    shared_bytes: int,
) -> Iterator[None]:
    """Initialise Ray for the block.

    A Ray that runs already is used and left running; otherwise one is started on this host,
    or the one at ``address`` is joined, and shut down or left at the end.

    Args:
        address: ``"host:port"`` or ``"auto"`` of a cluster; None is this host.
        concurrency: trials side by side.
        cpus: of one trial.
        gpus: of one trial, or a fraction of one.
        shared_bytes: size of what all trials read.

    Raises:
        ConfigError: not even one trial fits the resources, or there is no Ray to join at
            ``address``.
        SlimtuneError: Ray cannot be started.
    """
    # If the caller handles Ctrl-C itself (`Interrupts`), Tune must not install its handler.
    handler = signal.getsignal(signal.SIGINT)
    handled = handler is not signal.default_int_handler
    settings = {**SETTINGS, **_kept.environment, "TUNE_DISABLE_SIGINT_HANDLER": f"{handled:d}"}
    with _environment(settings) as added, _quiet():
        ours = not ray.is_initialized()
        if ours and address is not None:
            _join(address)
        elif ours:
            _start(math.ceil(concurrency * cpus), max(OBJECT_STORE_BYTES, 2 * shared_bytes))
        if ours and _kept.words is None:
            _kept.words = LastWords()
        try:
            check_fits(ray_nodes(), cpus, gpus, "Ray")
            yield
        finally:
            if ours and _kept.wanted:
                _kept.started, _kept.environment = True, added()
            elif ours:
                _end()
            if threading.current_thread() is threading.main_thread() and handler is not None:
                signal.signal(signal.SIGINT, handler)  # Tune does not restore it


class _KeptRay:
    """The state of a session that survives it until `keep_ray` ends.

    Attributes:
        wanted: whether sessions leave their Ray running.
        started: whether a Ray is running that must be ended later.
        environment: variables that Ray had set, and needs again in the next session.
        folder: of a Ray that we started, for its sockets and logs.
        words: printed if this process dies together with its Ray.
    """

    def __init__(self) -> None:
        self.wanted = self.started = False
        self.environment: dict[str, str] = {}
        self.folder: RayFolder | None = None
        self.words: LastWords | None = None


_kept = _KeptRay()


@contextmanager
def keep_ray() -> Iterator[None]:
    """Within the block, every `ray_session` after the first uses the Ray that the first started.

    A search needs Ray for its trials and again for its finals, and a start takes about five
    seconds. An inner block changes nothing.
    """
    if _kept.wanted:
        yield
        return
    _kept.wanted = True
    try:
        yield
    finally:
        if _kept.started:
            with _quiet():
                _end()
        _kept.wanted = _kept.started = False
        _kept.environment = {}


def _start(cpus: int, object_store_bytes: int) -> None:
    # Ray protects a local cluster by a token, and without one in the environment it would
    # write one to the home directory. Ray sets RAY_AUTH_MODE by itself, and must: set by us
    # after `import ray`, it reaches the daemons and not this process.
    has_token = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if not has_token:
        os.environ["RAY_AUTH_TOKEN"] = _token()
    options: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": object_store_bytes}
    for attempt in range(STARTS):
        _kept.folder = RayFolder()
        options["_temp_dir"] = str(_kept.folder.inside)
        try:
            _init(address="local", resources={RESOURCE: 1}, **options)
            return
        except BaseException as error:
            _end()
            if not isinstance(error, Exception):
                raise
            if attempt + 1 < STARTS and "timed out" in str(error):
                continue
            raise SlimtuneError(
                f"cannot start Ray on this host: {_first_line(error)}; --no-ray runs without Ray"
            ) from error


def _end() -> None:
    """Shut down the Ray that a session has started, or leave the one that it has joined."""
    ray.shutdown()
    if _kept.words is not None:
        _kept.words.withdraw()
        _kept.words = None
    if _kept.folder is not None:
        _kept.folder.remove()
        _kept.folder = None


def _join(address: str) -> None:
    try:
        _probe(address)
        _init(address=address, runtime_env=runtime_env())
    except Exception as error:
        ray.shutdown()
        raise ConfigError(
            f"ray_address: cannot reach Ray at {address}: {_cause(error)}; start a cluster with "
            "`ray start --head` and give its address, or give no address to run Ray on this host"
        ) from error


def _init(**kwargs: Any) -> None:
    # Ray installs a handler of SIGTERM that ends the process without telling the search.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL, **kwargs
        )
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _probe(address: str) -> None:
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS).close()


def ray_nodes() -> list[dict[str, float]]:
    """Return the resources of every node of the Ray that this process is connected to."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def fitting(nodes: Iterable[Mapping[str, float]], cpus: float, gpus: float) -> int:
    """Return how many trials fit on nodes at a time; a trial uses one node and at most one GPU.

    Args:
        nodes: resources of each, by Ray's names ``CPU`` and ``GPU``.
        cpus: of one trial.
        gpus: of one trial, or a fraction of one.
    """
    count = 0
    for there in nodes:
        slots = [there.get("CPU", 0) / cpus] if cpus else []
        if gpus:
            whole = int(there.get("GPU", 0))
            slots.append(whole * int(1 / gpus + 1e-9) if gpus < 1 else whole // gpus)
        count += int(min(slots, default=0))
    return count


def check_fits(nodes: Sequence[Mapping[str, float]], cpus: float, gpus: float, where: str) -> None:
    """Check that one trial fits on some node; otherwise Ray would let it wait for ever.

    Args:
        nodes: as for `fitting`.
        cpus: of one trial.
        gpus: of one trial.
        where: name of what has the nodes, for the message.

    Raises:
        ConfigError: it fits nowhere.
    """
    for name, amount in (("CPU", cpus), ("GPU", gpus)):
        total = sum(node.get(name, 0) for node in nodes)
        if amount > total:
            raise ConfigError(
                f"a trial asks for {amount:g} {name}, but {where} has {total:g} in all; ask for "
                f"less with per_trial.{name.lower()}s, or run elsewhere"
            )
    if fitting(nodes, cpus, gpus) == 0:
        words = "; ".join(f"{n.get('CPU', 0):g} CPU, {n.get('GPU', 0):g} GPU" for n in nodes)
        raise ConfigError(
            f"a trial asks for {cpus:g} CPU and {gpus:g} GPU on one node, but the nodes have "
            f"{words}; ask for less with per_trial.cpus and per_trial.gpus"
        )


@functools.cache
def _token() -> str:
    """Return the same token throughout this process: Ray reads it once and keeps it."""
    return secrets.token_hex(32)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[Callable[[], dict[str, str]]]:
    """Set variables for the block, and restore the whole environment after it.

    Ray sets variables of its own, such as PYTHONBREAKPOINT, and never removes them.

    Yields:
        A function that returns all variables that have been set since.
    """
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield lambda: {k: v for k, v in os.environ.items() if before.get(k) != v}
    finally:
        os.environ.update(before)
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.air")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    # Ray prints the death of a node on standard output, which is for results. The only switch
    # is an environment variable, which Ray reads when it is imported: too late here.
    printer = getattr(getattr(ray._private, "ray_logging", None), "stdout_deduplicator", None)
    skipped = getattr(printer, "skip_re", None)
    try:
        if printer is not None:
            printer.skip_re = re.compile("")
        yield
    finally:
        if printer is not None:
            printer.skip_re = skipped
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _cause(error: Exception) -> str:
    """Return in one line why a cluster cannot be joined; Ray takes six lines for versions."""
    versions = re.findall(r"(Ray|Python): (\S+)", str(error))
    if "Version mismatch" not in str(error) or len(versions) != 4:
        return _first_line(error)
    cluster, here = (
        " ".join(" ".join(pair) for pair in part) for part in (versions[:2], versions[2:])
    )
    return f"the cluster runs {cluster}, this host {here}; install the same versions"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
