"""Random streams of a trial's parts, so that each part repeats without the others."""

import hashlib

import torch


def stream(seed: int, name: str) -> torch.Generator:
    """Return the randomness that a seed and a name stand for: the same in every process.

    Args:
        seed: of the trial, or what trials share.
        name: of what draws from it.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
