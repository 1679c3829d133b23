"""Export a whole front: one folder per member, and an index."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from slimtune.errors import NothingMatchesError, UserError
from slimtune.results.delivery.card_facts import code, plain
from slimtune.results.delivery.delivery import FORMATS, check_formats, member_files, output_folder
from slimtune.results.delivery.portable import portable_pipeline
from slimtune.results.run import Run
from slimtune.results.store.files import publish_tree, to_json
from slimtune.results.store.finals import what_ships
from slimtune.results.views.columns import front_columns, mark
from slimtune.results.views.tables import footnotes


def export_front(
    run: Run, front: pd.DataFrame, out: str | Path, formats: Sequence[str] = tuple(FORMATS)
) -> Path:
    """Export every member of a front, each to its own folder in one new folder.

    It holds ``trial-0017/`` for each member, as `export_member` makes it, and two indexes:
    README.md for people, index.json for programs. It appears in one rename.

    Args:
        run: the run.
        front: from `Run.front`, perhaps without some of its rows.
        out: a folder that does not exist, or is empty.
        formats: see `export_member`.

    Raises:
        NothingMatchesError: the front has no member.
        UserError: ``out`` is taken, or a member has no model.
        RunError: a file differs from what its trial wrote, or the disk refuses.
    """
    check_formats(formats)
    if front.empty:
        raise NothingMatchesError(f"{run.path}: the front has no member to export")
    target = output_folder(Path(out))
    if not publish_tree(target, _files(run, front, formats)):
        raise UserError(f"{target} already exists and is not an empty folder; choose another one")
    return target


def _files(run: Run, front: pd.DataFrame, formats: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file, one member's at a time."""
    for number in front["trial"]:
        for name, data in member_files(run.folder, int(number), formats).items():
            yield f"{_folder(number)}/{name}", data
    rows = [{"folder": _folder(row["trial"]), **_plain(row)} for row in _rows(run, front)]
    yield "index.json", to_json({"run": run.path.absolute().name, "members": rows})
    yield "README.md", _index(run, front).encode()


def _folder(number: Any) -> str:
    return f"trial-{int(number):04d}"


def _rows(run: Run, front: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the members, their pipelines without the user's folders."""
    rows = [{str(key): value for key, value in row.items()} for row in front.to_dict("records")]
    for row in rows:
        recipe = what_ships(run.folder, int(row["trial"]))[0].recipe
        row["pipeline"] = portable_pipeline(str(row["pipeline"]), recipe)
    return rows


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as JSON can hold it: what was not measured is null."""
    return {key: None if value != value else value for key, value in row.items()}


def _index(run: Run, front: pd.DataFrame) -> str:
    columns = front_columns(front)
    lines = [
        f"# The front of {code(run.path.absolute().name)}",
        "",
        f"{len(front)} models that no other trial of the run beats in everything, the most "
        "accurate first; each folder's README.md tells more.",
        "",
        f"| model | {' | '.join(column.heading for column in columns)} | pipeline |",
        f"|---|{'---|' * len(columns)}---|",
    ]
    for row in _rows(run, front):
        cells = " | ".join(column.cell(row).text for column in columns)
        name = _folder(row["trial"])
        link = f"[{name}]({name}/README.md) {mark(row)}".strip()
        lines.append(f"| {link} | {cells} | {plain(row['pipeline'])} |")
    notes = ["◆ the knee: nearest to the best of everything at once"]
    notes += footnotes(front, run.baseline_values(front), run.manifest["workload"])
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"
