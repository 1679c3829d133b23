"""slimtune: search for small, fast versions of a trained image classifier.

>>> import slimtune as st
>>> run = st.search(model="resnet8x2", data="digits", trials=16, out="runs/a")  # doctest: +SKIP
>>> run.front()                                                                 # doctest: +SKIP
>>> best = run.pick("knee", min_accuracy=0.95)                                  # doctest: +SKIP
>>> best.export("deploy"); net = best.load()                                    # doctest: +SKIP

What the command line does besides has a function too: `st.compress`, `st.doctor`, `st.compare`,
`st.evaluate`; and `st.open_run` opens a run again.

The names below are loaded when first used, so that ``import slimtune`` and the command line's
help need no torch.
"""

from importlib import import_module
from typing import Any

from slimtune.version import __version__

_HOMES = {
    "compare": "slimtune.api",
    "compress": "slimtune.api",
    "doctor": "slimtune.api",
    "evaluate": "slimtune.api",
    "Recipe": "slimtune.compression.recipe",
    "Run": "slimtune.search.opened",
    "SlimtuneError": "slimtune.errors",
    "UserError": "slimtune.errors",
    "load_model": "slimtune.search.saved",
    "open_run": "slimtune.search.opened",
}

__all__ = ["__version__", *_HOMES, "search"]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name == "search":  # the package itself is callable
        return import_module("slimtune.search")
    if name not in _HOMES:
        raise AttributeError(f"module 'slimtune' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
