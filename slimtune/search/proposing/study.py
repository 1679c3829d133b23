"""The study of a search: an SQLite file that Optuna reads and writes."""

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
import sqlalchemy.exc
import sqlalchemy.pool
from optuna.study import Study, StudyDirection

from slimtune.errors import RunError

__all__ = ["TIMEOUT", "Study", "open_study"]

TIMEOUT = 60.0
"""Seconds to wait for another program that writes to the study."""


def open_study(
    path: Path, directions: Sequence[str], name: str, values: Sequence[str] = ()
) -> Study:
    """Open or create the SQLite study at ``path``; Optuna then logs errors only.

    Args:
        path: the database file; it may be relative, also if the process changes its folder later.
        directions: ``"minimize"`` or ``"maximize"``, one per objective.
        name: of a new study; an existing one keeps its name, even if its folder was renamed.
        values: names of the objectives, for Optuna's own figures and optuna-dashboard.

    Raises:
        RunError: the file cannot be opened, is damaged, or has other directions.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = Path(path).absolute()
    with study_errors(str(path)):
        storage = _storage(path)
        there = optuna.get_all_study_names(storage)
        study = optuna.create_study(
            storage=storage,
            directions=[StudyDirection[direction.upper()] for direction in directions],
            study_name=there[0] if len(there) == 1 else name,
            load_if_exists=True,
        )
        if values and study.metric_names is None:
            with warnings.catch_warnings():  # it is experimental
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(values))
        actual = [direction.name.lower() for direction in study.directions]
    if actual != list(directions):
        expected = ", ".join(directions)
        raise RunError(
            f"{path}: the study's directions are {', '.join(actual)}, not {expected}; "
            "use the run's own objectives or another folder"
        )
    return study


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """Return the storage of the file at ``path``, whose name may have any characters.

    The path is not part of the URL, where ``?``, ``#`` and ``%41`` would have a meaning.
    """
    connect = partial(sqlite3.connect, path, timeout=TIMEOUT, check_same_thread=False)
    engine = {"creator": connect, "poolclass": sqlalchemy.pool.QueuePool}
    return optuna.storages.RDBStorage("sqlite://", engine_kwargs=engine)


@contextmanager
def study_errors(where: str) -> Iterator[None]:
    """Turn exceptions of the study's storage into a `RunError`.

    Args:
        where: the file, or the study's name.

    Raises:
        RunError: the study cannot be read or written.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        raise RunError(f"{where}: the study cannot be used: {cause}") from error
