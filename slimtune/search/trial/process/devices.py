"""The devices that torch can use in this process."""

import gc

import torch

from slimtune.errors import TrialError, UserError
from slimtune.search.trial.process.allocator import return_freed_memory
from slimtune.search.trial.spec import TrialSpec


def is_available(device: str) -> bool:
    """Return whether torch can compute on a device of this name in this process.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    """
    kind, _, index = device.partition(":")
    return kind == "cpu" or (kind == "cuda" and int(index or 0) < torch.cuda.device_count())


def check_device(device: str) -> None:
    """Check that a trial can use its device, before any work.

    Raises:
        TrialError: this process cannot see the device.
    """
    if not is_available(device):
        raise TrialError(
            f"the trial was given {device}, but torch sees {torch.cuda.device_count()} CUDA "
            "devices in its process; install torch for CUDA there, or set per_trial.gpus=0"
        )


def on_available_device(spec: TrialSpec, exact: bool = False) -> TrialSpec:
    """Return the spec of a trial for this machine: on its own device, or else on the CPU.

    Args:
        spec: of a trial that ran on some machine.
        exact: whether the result must be the same bit for bit.

    Raises:
        UserError: it must, and this machine lacks the device.
    """
    device = spec.conditions.device
    if is_available(device):
        return spec
    if exact:
        raise UserError(
            f"trial {spec.number} was trained on {device}, which this machine lacks, and "
            "another device gives other bits; check it on a machine that has one, or leave "
            "--check out"
        )
    return spec.moved("cpu")


def free_memory() -> None:
    """Return cached memory to the GPU and the host, which other processes share."""
    return_freed_memory()
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
