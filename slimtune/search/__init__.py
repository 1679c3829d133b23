"""Who runs the trials: `run_trial`, the sampler's glue, the executors.

The package is also the call: ``slimtune.search(model=..., data=..., out=...)``. A submodule of a
package hides a function of the same name there, so the module itself is callable.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """Makes ``slimtune.search(...)`` mean `slimtune.search.api.search`."""

    def __call__(self, **settings: Any) -> Any:
        """See `slimtune.api.search`; loaded on the first call to keep imports light."""
        return import_module("slimtune.api").search(**settings)


sys.modules[__name__].__class__ = _CallablePackage
