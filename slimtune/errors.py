"""Every exception that slimtune raises on purpose, and the exit code each one means.

::

    SlimtuneError                1   something of ours is broken
    ├── UserError                2   bad input: the message states rule, value and way out
    │   ├── ConfigError          2   a config file or a recipe; names file and line if it can
    │   ├── UnknownNameError     2   a name that no registry knows; suggests the nearest
    │   ├── DataError            2   a dataset that cannot be read or does not fit
    │   └── ModelError           2   an architecture or a weights file that cannot be used
    │       └── PickledWeightsError  2   weights that are pickled objects; says how to convert
    ├── NothingMatchesError      3   a selection that leaves no trial
    ├── SearchFailedError        4   a search in which no trial finished
    ├── RunError                 5   a run folder that is missing, damaged, in use or incompatible
    │   ├── DiskFullError        5   a file that does not fit on the disk
    │   └── RunChangedError      5   a run that was started with other settings; lists them
    └── TrialError               1   one trial cannot be finished; the search goes on
        ├── PruningError             the network cannot be pruned as asked
        ├── NonFiniteError           the loss or an objective is not a finite number
        ├── TrialTimeoutError        the trial took longer than it may
        └── ExportMismatchError      the exported file disagrees with the network it came from

All of them are built from one message alone, so they survive pickling between processes.
"""

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class SlimtuneError(Exception):
    """Base of everything slimtune raises on purpose."""

    exit_code = 1


class UserError(SlimtuneError):
    """Input that breaks a rule. One line: the rule, the value, the way out."""

    exit_code = 2


class ConfigError(UserError):
    """A setting that breaks a rule, in a config file, a recipe or an option."""


class UnknownNameError(UserError):
    """A name that is not registered."""


class DataError(UserError):
    """A dataset that cannot be read, or that does not fit the model."""


class ModelError(UserError):
    """An architecture or a weights file that cannot be used."""


class PickledWeightsError(ModelError):
    """Weights inside a pickled object: after the first line, two lines that take them out."""


class NothingMatchesError(SlimtuneError):
    """A selection that no trial satisfies."""

    exit_code = 3


class SearchFailedError(SlimtuneError):
    """A search that ended without one finished trial."""

    exit_code = 4


class RunError(SlimtuneError):
    """A run folder that is missing, damaged, in use or written by another version."""

    exit_code = 5


class DiskFullError(RunError):
    """A file that does not fit on the disk, or is larger than the process may write."""


class RunChangedError(RunError):
    """A run that cannot go on with these settings: after the first line, one a difference."""


class TrialError(SlimtuneError):
    """One trial cannot be finished. It is recorded as failed and the search goes on."""


class PruningError(TrialError):
    """The network cannot be pruned as asked."""


class NonFiniteError(TrialError):
    """A loss or an objective is NaN or infinite."""


class TrialTimeoutError(TrialError):
    """The trial took longer than it may."""


class ExportMismatchError(TrialError):
    """The exported file does not compute what the network computes."""


class SlimtuneWarning(UserWarning):
    """Something that a user should know; the work continues. One line."""


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the choice nearest to ``name``, or an empty string."""
    nearest = difflib.get_close_matches(str(name), list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""


def shortened(value: object, limit: int = 60) -> str:
    """Return ``repr(value)`` cut to ``limit`` characters: messages stay one line."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def in_one_line(error: BaseException) -> str:
    """Return ``"TYPE: words"``; the type alone if there are no words, as for a MemoryError."""
    words = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *words[:1]])


def from_validation(
    error: ValidationError, path: str = "", names: Iterable[str] = ()
) -> ConfigError:
    """Turn pydantic's report into one line of ours, about the first rule that was broken.

    Args:
        error: raised by pydantic.
        path: dotted prefix of the setting, such as ``"space.prune"``.
        names: settings to suggest from if the key itself is unknown.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in (path, *first["loc"]) if part != "")
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        key = str(first["loc"][-1])
        return ConfigError(f"{where}: unknown key '{key}'.{did_you_mean(key, names)}")
    if first["type"] == "value_error":  # raised by a rule of ours, whose message is complete
        return ConfigError(
            f"{where}: {first['ctx']['error']}" if where else str(first["ctx"]["error"])
        )
    rule = first["msg"].replace("Input should be", "must be", 1)
    return ConfigError(f"{where}: {rule}, but got {shortened(first['input'])}")
