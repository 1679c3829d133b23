from pathlib import Path
from typing import get_args

import click
import pytest
import yaml

from slimtune.cli.main import main
from slimtune.cli.options.steering import SAMPLERS, STEERING, steering_options
from slimtune.search.settings.config import SamplerName

OPTIONS = [
    "--sampler", "nsga2", "--max-latency", "0.5x", "--min-accuracy", "-1%", "--max-size", "500KiB",
    "--time-budget", "1h30m", "--stop-when-flat", "7", "--no-stopping",
    "--final-epochs", "30", "--repeats", "3",
]  # fmt: skip


def test_every_option_sets_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *OPTIONS, "--print-config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["sampler"] == "nsga2" and config["time_budget"] == "1h30m"
    assert config["stop_when_flat"] == 7 and config["stopping"] is False
    assert config["final"] == {"epochs": 30, "repeats": 3}
    limits = {"max_latency": "0.5x", "min_accuracy": "-1%", "max_size": "500KiB"}
    assert config["constraints"] == limits


def test_the_options_are_those_of_the_table() -> None:
    @click.command()
    @steering_options
    def command(**_options: object) -> None: ...

    assert {parameter.name for parameter in command.params} == set(STEERING)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-latency", "2"], "constraints.max_latency: give a unit, e.g. 2ms"),
        (["--max-size", "+50"], "constraints.max_size: must be a number and a unit"),
        (["--min-accuracy", "1.2"], "constraints.min_accuracy: must be 0..1"),
        (["--time-budget", "10"], "time_budget: give a unit, e.g. 10m"),
        (["--stop-when-flat", "0"], "'--stop-when-flat': 0 is not in the range x>=1"),
        (["--final-epochs", "0"], "'--final-epochs': 0 is not in the range x>=1"),
        (["--repeats", "0"], "'--repeats': 0 is not in the range x>=1"),
        (["--final-epochs", "2"], "final.epochs: must be at least 3, the search's own"),
        (["--repeats", "101"], "final.repeats: must be less than or equal to 100, but got 101"),
        (["--sampler", "nsga"], "'--sampler': 'nsga' is not one of 'tpe', 'nsga2'"),
        (
            ["--set", "start=fast"],
            "must be auto, none or a list of recipes, but got 'fast'",
        ),
        (["--set", "stopping=perhaps"], "stopping: must be auto, true or false"),
        (["--set", "start=[3]"], "start: must be auto, none or a list of recipes"),
        (["--set", "constraints.max_sise=1MB"], "Did you mean 'max_size'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *arguments, "--print-config"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_start_recipe_outside_the_space_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(
        "trials: 9\n"
        "start:\n"
        "  - quantize: int8_static\n"
        "  - prune:\n"
        "      method: l1\n"
        "      amount: 0.95\n"
    )
    assert main(["search", "-c", str(file), "--print-config"]) == 2
    error = capsys.readouterr().err
    assert f"{file}:6: start.1.prune.amount: must be in 0.1..0.8" in error


def test_the_samplers_to_choose_from_are_those_there_are() -> None:
    assert get_args(SamplerName) == SAMPLERS
