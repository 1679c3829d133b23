"""The settings that a run was made with, read back from its folder."""

from slimtune.errors import RunError, UserError
from slimtune.results.store.folder import RunFolder
from slimtune.search.settings.config import SearchConfig, make_config


def run_config(folder: RunFolder) -> SearchConfig:
    """Return the config with which a run was made.

    Raises:
        RunError: it was written by a version with other settings.
    """
    try:
        return make_config(folder.manifest["config"])
    except UserError as error:
        raise RunError(f"{folder.path}/run.json: {error}; written by another version?") from None
