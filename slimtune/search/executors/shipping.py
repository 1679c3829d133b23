"""The code that travels to the workers of a cluster: this package.

The user's own code travels by value with the work: see `own_work`.
"""

from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2]
EXCLUDED = ["**/__pycache__", "*.pyc"]


def runtime_env() -> dict[str, Any]:
    """Return the Ray runtime environment in which workers need no copy of this package.

    What it imports (torch, onnxruntime...) must be installed on every node.
    """
    return {"py_modules": [str(PACKAGE)], "excludes": EXCLUDED}
