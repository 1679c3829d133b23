"""Sends this package to the workers of a cluster.

The user's own code is sent with the work, by value; see `own_work`.
"""

from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2]
EXCLUDED = ["**/__pycache__", "*.pyc"]


def runtime_env() -> dict[str, Any]:
    """Return the Ray runtime environment in which workers need no copy of this package.

    The packages that it imports, such as torch and onnxruntime, must be installed on every node.
    """
    return {"py_modules": [str(PACKAGE)], "excludes": EXCLUDED}
