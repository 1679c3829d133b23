"""A random stream for each part of a trial, so that each part can be repeated alone."""

import hashlib

import torch


def stream(seed: int, name: str) -> torch.Generator:
    """Return a generator seeded from a seed and a name: the same in every process.

    Args:
        seed: of the trial, or one that trials share.
        name: of what draws from it.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
