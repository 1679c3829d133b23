"""References in exported files: without the user's folders, and still usable.

A run stores absolute paths, so that it can be resumed from anywhere. In an export they would show
the layout of the user's disk and would not exist on another one. So an export names only the file,
such as ``net.py:make``, which is found in the current folder.
"""

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_OPTIONS = re.compile(
    r"@(?:[A-Za-z_]+=(?:[-+.e0-9]+(?:/[-+.e0-9]+)+|[^@/,]*)(?:,(?=[A-Za-z_])|$))+$"
)
"""Of data: what follows its path. Numbers may be separated by slashes, which lead to no folder."""


def without_folders(reference: str) -> str:
    """Return a reference with the last part of its path only.

    Args:
        reference: a path, ``scheme:path`` such as ``folder:/home/me/photos@size=8x8``, code in a
            file such as ``/home/me/net.py:make``, or a name, which has no folders to lose.
    """
    if options := _OPTIONS.search(reference):
        return without_folders(reference[: options.start()]) + options[0]
    scheme, colon, path = reference.partition(":")
    if "/" in scheme:  # the colon stands behind the path, or in it
        scheme, colon, path = "", "", reference
    return f"{scheme}{colon}{PurePath(path).name}" if "/" in path else reference


def portable_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe in its JSON form with the student's network and weights without folders."""
    student = recipe.get("student")
    if not isinstance(student, Mapping):
        return dict(recipe)
    named = {
        key: student[key] for key in ("model", "weights") if isinstance(student.get(key), str)
    }
    short = {key: without_folders(value) for key, value in named.items()}
    return {**recipe, "student": {**student, **short}}


def portable_pipeline(pipeline: str, recipe: Mapping[str, Any]) -> str:
    """Return a pipeline in words with the student that it begins with without folders."""
    student = recipe.get("student")
    model = student.get("model") if isinstance(student, Mapping) else None
    if not isinstance(model, str) or not pipeline.startswith(model):
        return pipeline
    return without_folders(model) + pipeline.removeprefix(model)


def portable_description(content: bytes) -> bytes:
    """Return a model.json whose network and recipe are named without folders.

    Args:
        content: as a trial wrote it; returned as it is if it names no folder.
    """
    before = json.loads(content)
    after = dict(before)
    if isinstance(before.get("recipe"), dict):
        after["recipe"] = portable_recipe(before["recipe"])
    architecture = before.get("architecture")
    if isinstance(architecture, dict) and isinstance(architecture.get("name"), str):
        after["architecture"] = {**architecture, "name": without_folders(architecture["name"])}
    return content if after == before else (json.dumps(after, indent=1) + "\n").encode()
