from pathlib import Path

import pytest

from slimtune.cli.main import main
from slimtune.errors import ConfigError
from slimtune.search.settings.config import make_config


@pytest.mark.parametrize(
    ("preprocessing", "data"),
    [
        ({"mean": "half", "std": "half"}, "digits@mean=half,std=half"),
        ({"mean": "half"}, "digits@mean=half"),
        ({"mean": [0.1, 0.2, 0.3], "std": 0.5}, "digits@mean=0.1/0.2/0.3,std=0.5"),
        ({"mean": "0.1/0.2/0.3", "std": "1"}, "digits@mean=0.1/0.2/0.3,std=1"),
        ({"mean": None}, "digits"),
        ({}, "digits"),
    ],
)
def test_preprocessing_becomes_an_option_of_the_data(preprocessing, data) -> None:
    config = make_config({"data": "digits", "preprocessing": preprocessing})
    assert config.data == data
    assert make_config(config.model_dump(mode="json")) == config


def test_what_is_said_twice_must_be_the_same() -> None:
    same = {"data": "digits@size=4,mean=half", "preprocessing": {"mean": "half", "std": 1}}
    assert make_config(same).data == "digits@size=4,mean=half,std=1"
    with pytest.raises(ConfigError, match=r"^preprocessing.mean: is none, .*@mean=half; give one"):
        make_config({"data": "digits@mean=half", "preprocessing": {"mean": "none"}})


@pytest.mark.parametrize(
    ("preprocessing", "rule"),
    [
        ({"mean": "imagnet"}, "preprocessing.mean: must be a name .* Did you mean 'imagenet'"),
        ({"std": 0}, "preprocessing.std: must be above 0"),
        ({"meen": 0.5}, "preprocessing.meen: unknown key 'meen'. Did you mean 'mean'"),
        (3, "preprocessing: must be a valid dictionary"),
    ],
)
def test_a_wrong_value_is_refused(preprocessing, rule) -> None:
    with pytest.raises(ConfigError, match=rule):
        make_config({"data": "digits", "preprocessing": preprocessing})


def test_a_config_file_says_it_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("data: digits\npreprocessing:\n  mean: 0.5\n  std: 99\n")
    assert main(["search", "-c", str(file), "--print-config"]) == 2
    error = capsys.readouterr().err
    assert f"{file}:4: preprocessing.std" in error and "divide those of 0..255" in error
    file.write_text("data: digits\npreprocessing: {mean: half, std: half}\n")
    assert main(["search", "-c", str(file), "--print-config"]) == 0
    assert "digits@mean=half,std=half" in capsys.readouterr().out
