import click
import pytest

from slimtune.cli.main import main
from slimtune.cli.options.trial_count import MoreTrials, TrialCount, total_trials
from slimtune.search.settings.config import DEFAULT_TRIALS, make_config

BASE = {"model": "resnet8", "data": "digits"}
TWELVE = make_config({**BASE, "trials": 12})


@pytest.mark.parametrize(
    ("text", "trials"), [("12", 12), ("+4", MoreTrials(4)), (" 3 ", 3), (7, 7)]
)
def test_a_plus_means_more(text: str, trials: int | MoreTrials) -> None:
    assert TrialCount().convert(text, None, None) == trials


@pytest.mark.parametrize("text", ["0", "+0", "-1", "+-1", "++2", "four", "+", "1.5"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        TrialCount().convert(text, None, None)


def test_more_is_counted_from_what_the_run_was_asked_for() -> None:
    assert total_trials(MoreTrials(4), TWELVE) == 16
    assert total_trials(5, TWELVE) == 5
    assert total_trials(None, TWELVE) is None
    assert total_trials(MoreTrials(1), make_config(BASE)) == DEFAULT_TRIALS + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "digits", "--model", "resnet8"], "+4 adds to a run: give --resume RUN"),
        (["--resume", "runs/none"], "'runs/none' is not a slimtune run"),
    ],
)
def test_more_of_nothing_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--trials", "+4", *arguments]) in (2, 5)
    assert message in capsys.readouterr().err


def test_a_grid_has_no_number_to_add_to() -> None:
    with pytest.raises(click.UsageError, match="tries every point of its grid"):
        total_trials(MoreTrials(1), make_config({}, "ppq"))
