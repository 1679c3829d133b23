import click
import pytest
import yaml

from slimtune.cli.main import main
from slimtune.cli.options.per_trial import PER_TRIAL, per_trial_options


def test_every_option_sets_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--cpus-per-trial", "2", "--gpus-per-trial", "0.25", "--trial-timeout", "10m"]
    options += ["--precision", "bfloat16"]
    assert main(["search", *options, "--print-config"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    expected = {"cpus": 2, "gpus": 0.25, "timeout": "10m", "precision": "bfloat16"}
    assert config["per_trial"] == {**expected, "teacher_views": 8}


def test_the_options_are_those_of_the_table() -> None:
    @click.command()
    @per_trial_options
    def command(**_options: object) -> None: ...

    assert {parameter.name for parameter in command.params} == set(PER_TRIAL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cpus-per-trial", "0"], "'--cpus-per-trial': 0 is not in the range x>=1"),
        (["--gpus-per-trial", "2"], "'--gpus-per-trial': 2.0 is not in the range 0<=x<=1"),
        (["--trial-timeout", "10"], "per_trial.timeout: give a unit, e.g. 10m"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *arguments, "--print-config"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_does_not_fit_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    options = ["--data", "digits", "--model", "resnet8", "--cpus-per-trial", "4096"]
    assert main(["search", *options, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a trial asks for 4096 CPU, but this host has")
    assert error.count("\n") == 1 and not (tmp_path / "run").exists()
