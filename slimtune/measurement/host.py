"""The machine and the versions that a measurement depends on."""

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path

_PACKAGES = ("slimtune", "torch", "onnxruntime", "ray", "optuna", "numpy")


def describe_host() -> dict[str, str | int]:
    """Return the processor, cores, platform and versions that measurements depend on.

    Returns:
        ``name`` of the machine, ``cpu``, ``cores`` (that this process may use), ``platform``,
        ``python``, and the version of each package, or ``"not installed"``.
    """
    return {
        "name": platform.node(),
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        **_fixed(),
    }


@cache
def _fixed() -> dict[str, str]:
    """Return the facts that never change in a process; reading them takes 10 ms."""
    versions = {package: _version(package) for package in _PACKAGES}
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


@cache
def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container may own fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
