import json
from pathlib import Path

import optuna
import plotly.graph_objects as go

from slimtune.results.run import open_run
from slimtune.results.store.status import read_status
from slimtune.search.listeners.events import Event, Warned
from slimtune.search.listeners.report import leave_report


def test_a_search_leaves_a_report_and_a_status(digits_run: Path) -> None:
    assert "Members" in (digits_run / "report.html").read_text()
    status = read_status(digits_run)
    assert (status.state, status.total, status.running) == ("finished", 4, ())
    assert 0 < open_run(digits_run).manifest["workload"]["chance"] < 0.2


def test_a_report_that_cannot_be_made_is_a_warning(digits_run: Path) -> None:
    run = open_run(digits_run).at([])  # as if nothing had finished
    heard: list[Event] = []
    leave_report(run, heard.append)
    [warned] = heard
    assert isinstance(warned, Warned) and "no trial has finished yet" in warned.text


def test_optuna_draws_the_front_from_the_study_file(digits_run: Path) -> None:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{digits_run / 'study.db'}")
    names = open_run(digits_run).manifest["objectives"]
    figure = optuna.visualization.plot_pareto_front(study, target_names=names)
    assert isinstance(figure, go.Figure)
    best = sorted(trial.number for trial in study.best_trials)
    drawn = {json.loads(text.replace("<br>", " "))["number"] for text in figure.data[1].text}
    assert drawn == set(best)
