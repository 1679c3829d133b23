"""Hashes of the user's own code, to check that a run continues with the same code."""

from collections.abc import Mapping

from slimtune.errors import RunError
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.references import code_in
from slimtune.workload.own_code import code_digest, load_code


def code_digests(config: SearchConfig) -> dict[str, str]:
    """Return a SHA-256 of the files behind every code reference of a search.

    Raises:
        ConfigError: the code is not allowed to run.
        UserError: it cannot be loaded.
    """
    references = sorted({reference for _, reference in code_in(config.model_dump())})
    for reference in references:
        load_code(reference)
    return {reference: code_digest(reference) for reference in references}


def check_code_unchanged(config: SearchConfig, recorded: Mapping[str, str]) -> None:
    """Check that the user's code is the code with which a run was made.

    Args:
        config: of the run.
        recorded: from `code_digests`, when the run began.

    Raises:
        RunError: a file has changed.
        ConfigError: the code is not allowed to run.
    """
    for reference, digest in code_digests(config).items():
        if reference in recorded and recorded[reference] != digest:
            raise RunError(
                f"the code of {reference} has changed since the run was written; restore it or "
                "start a new search"
            )
