"""JSON files that show whether their content is still what slimtune wrote.

Each holds the SHA-256 of its own content under an extra key. A digit that changes on a disk leaves
valid JSON with another accuracy in it; the hash shows the damage. A file without the key, from an
older slimtune or changed by hand, is accepted.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimtune.errors import RunError
from slimtune.results.store.files import read_json, sha256_bytes, to_json

KEY = "content_sha256"
"""The last key of a sealed file: the hash of all others."""


def seal(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON with its own hash, which replaces an earlier one.

    Raises:
        ValueError: as `to_json`.
        TypeError: as `to_json`.
    """
    content = {key: part for key, part in value.items() if key != KEY}
    return to_json({**content, KEY: _hash_of(json.loads(to_json(content)))})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, without its hash.

    Raises:
        RunError: as `read_json`, or the content is not what the hash is of.
    """
    return check_seal(read_json(path), path)


def check_seal(value: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Check an object against its hash, if it has one, and return it without the hash.

    Args:
        value: the whole content of the file.
        path: the file, for the message.

    Raises:
        RunError: the content is not what the hash is of.
    """
    content = {key: part for key, part in value.items() if key != KEY}
    if KEY in value and value[KEY] != _hash_of(content):
        raise RunError(
            f"{path}: damaged, its content is not what was written (SHA-256 mismatch); put the "
            f'file back from a copy, or, if you changed it yourself, remove its "{KEY}"'
        )
    return content


def _hash_of(content: Mapping[str, Any]) -> str:
    """Hash the content; the order of keys and white space do not count."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256_bytes(text.encode())
