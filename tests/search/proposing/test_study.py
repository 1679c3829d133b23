import os
import sqlite3
from contextlib import closing

import optuna
import pytest

from slimtune.errors import RunError
from slimtune.search.proposing.study import open_study

DIRECTIONS = ["maximize", "minimize"]


def test_a_damaged_database_is_refused_with_its_path(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(b"SQLite format 3\x00" + b"garbage" * 1000)
    with pytest.raises(RunError, match=r"study\.db") as caught:
        open_study(path, DIRECTIONS, "s")
    assert "\n" not in str(caught.value)


def test_a_database_in_a_missing_folder_is_refused_with_its_path(tmp_path):
    with pytest.raises(RunError, match="nowhere"):
        open_study(tmp_path / "nowhere" / "study.db", DIRECTIONS, "s")


def test_other_directions_than_the_studys_are_refused(tmp_path):
    open_study(tmp_path / "study.db", DIRECTIONS, "s")
    with pytest.raises(RunError, match="maximize, minimize, not minimize, minimize"):
        open_study(tmp_path / "study.db", ["minimize", "minimize"], "s")


def test_a_run_folder_that_was_renamed_keeps_its_study(tmp_path):
    study = open_study(tmp_path / "study.db", DIRECTIONS, "before")
    study.tell(study.ask(), [0.5, 1.0])
    assert len(open_study(tmp_path / "study.db", DIRECTIONS, "after").trials) == 1


def test_optunas_own_figures_name_the_objectives(tmp_path):
    names = ["accuracy", "size_bytes"]
    study = open_study(tmp_path / "study.db", DIRECTIONS, "s", names)
    assert study.metric_names == names
    assert open_study(tmp_path / "study.db", DIRECTIONS, "s", names).metric_names == names
    figure = optuna.visualization.plot_pareto_front(study)
    assert [figure.layout[f"{axis}axis"].title.text for axis in "xy"] == names


NAMES = ["with space", "a{b}c", "100%", "ünïcode", "what?lr=1", "%41", "a#b", "a:b", "file:x"]
NAMES += ["a@b", "back\\slash", "?mode=memory", ":memory:", "a&b=c", "new\nline", "+ %2F"]


@pytest.mark.parametrize("name", NAMES)
def test_any_folder_name_can_hold_a_study(tmp_path, name, monkeypatch):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    study = open_study("study.db", DIRECTIONS, "s")
    monkeypatch.chdir(tmp_path)
    study.ask()
    assert os.listdir(tmp_path) == [name] and os.listdir(folder) == ["study.db"]
    with closing(sqlite3.connect(folder / "study.db")) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    assert len(open_study(folder / "study.db", DIRECTIONS, "s").trials) == 1
