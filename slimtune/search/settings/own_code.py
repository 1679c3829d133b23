"""The user's own code that a search names: held against what the run was made with."""

from collections.abc import Mapping

from slimtune.errors import RunError
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.references import code_in
from slimtune.workload.own_code import code_digest, load_code


def code_digests(config: SearchConfig) -> dict[str, str]:
    """Return a SHA-256 of the files behind every code reference of a search.

    Raises:
        ConfigError: nobody allowed to run it.
        UserError: it cannot be loaded.
    """
    references = sorted({reference for _, reference in code_in(config.model_dump())})
    for reference in references:
        load_code(reference)
    return {reference: code_digest(reference) for reference in references}


def check_code_unchanged(config: SearchConfig, recorded: Mapping[str, str]) -> None:
    """Refuse to go on where the user's code is not the one that a run was made with.

    Args:
        config: of the run.
        recorded: from `code_digests`, when it began.

    Raises:
        RunError: a file has changed.
        ConfigError: nobody allowed to run it.
    """
    for reference, digest in code_digests(config).items():
        if reference in recorded and recorded[reference] != digest:
            raise RunError(
                f"the code of {reference} has changed since the run was written; restore it or "
                "start a new search"
            )
