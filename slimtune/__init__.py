"""slimtune: search for small, fast versions of a trained image classifier.

>>> import slimtune as st
>>> run = st.search(model="resnet8x2", data="digits", trials=16, out="runs/a")  # doctest: +SKIP
>>> run.front()                                                                 # doctest: +SKIP
>>> best = run.pick("knee", min_accuracy=0.95)                                  # doctest: +SKIP
>>> best.export("deploy"); net = best.load()                                    # doctest: +SKIP

``model`` and ``data`` may also be your own objects: a trained module, a function or class that
makes one, arrays, torch datasets; see `search`. The other verbs of the command line are functions
too: `compress`, `doctor`, `compare` and `evaluate`. `open_run` opens the run of an earlier search.

A public name is loaded when it is first used, so that ``import slimtune`` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slimtune.version import __version__ as __version__

if TYPE_CHECKING:
    from slimtune.api.checking import doctor as doctor
    from slimtune.api.compressing import CompressedModel as CompressedModel
    from slimtune.api.compressing import compress as compress
    from slimtune.api.measuring import compare as compare
    from slimtune.api.measuring import evaluate as evaluate
    from slimtune.api.searching import search as search
    from slimtune.compression.distillation import DISTILLATION as DISTILLATION
    from slimtune.compression.pruning import PRUNING as PRUNING
    from slimtune.compression.quantization import QUANTIZATION as QUANTIZATION
    from slimtune.compression.recipe import Recipe as Recipe
    from slimtune.errors import SlimtuneError as SlimtuneError
    from slimtune.errors import UserError as UserError
    from slimtune.results.objectives import OBJECTIVES as OBJECTIVES
    from slimtune.results.objectives import Objective as Objective
    from slimtune.results.store.record import TrialRecord as TrialRecord
    from slimtune.search.forecast.checkup import Checkup as Checkup
    from slimtune.search.opened import Member as Member
    from slimtune.search.opened import Run as Run
    from slimtune.search.opened import open_run as open_run
    from slimtune.search.saved import load_model as load_model
    from slimtune.spaces.presets import PRESETS as PRESETS
    from slimtune.spaces.space import Space as Space
    from slimtune.workload.sources import SOURCES as SOURCES
    from slimtune.workload.types import Augmentation as Augmentation
    from slimtune.workload.types import Dataset as Dataset
    from slimtune.workload.types import Split as Split
    from slimtune.workload.zoo import ZOO as ZOO

_HOMES = {
    "Augmentation": "slimtune.workload.types",
    "Checkup": "slimtune.search.forecast.checkup",
    "CompressedModel": "slimtune.api.compressing",
    "DISTILLATION": "slimtune.compression.distillation",
    "Dataset": "slimtune.workload.types",
    "Member": "slimtune.search.opened",
    "OBJECTIVES": "slimtune.results.objectives",
    "Objective": "slimtune.results.objectives",
    "PRESETS": "slimtune.spaces.presets",
    "PRUNING": "slimtune.compression.pruning",
    "QUANTIZATION": "slimtune.compression.quantization",
    "Recipe": "slimtune.compression.recipe",
    "Run": "slimtune.search.opened",
    "SOURCES": "slimtune.workload.sources",
    "SlimtuneError": "slimtune.errors",
    "Space": "slimtune.spaces.space",
    "Split": "slimtune.workload.types",
    "TrialRecord": "slimtune.results.store.record",
    "UserError": "slimtune.errors",
    "ZOO": "slimtune.workload.zoo",
    "compare": "slimtune.api.measuring",
    "compress": "slimtune.api.compressing",
    "doctor": "slimtune.api.checking",
    "evaluate": "slimtune.api.measuring",
    "load_model": "slimtune.search.saved",
    "open_run": "slimtune.search.opened",
    "search": "slimtune.api.searching",
}
"""Public name -> the module that defines it; a test compares it with the imports above."""

__all__ = ["__version__", *_HOMES]

# `slimtune.search` is both a package of ours and the function that users call. Python sets the
# package as an attribute of this module once, when it is first imported. So it is imported here
# and the attribute removed: from then on `__getattr__` finds the function, as every public name.
import_module("slimtune.search")
del globals()["search"]

if not TYPE_CHECKING:  # a type checker would let every misspelt name pass

    def __getattr__(name: str) -> Any:
        """Load a public name from the module that defines it."""
        if name not in _HOMES:
            raise AttributeError(f"module 'slimtune' has no attribute '{name}'")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
