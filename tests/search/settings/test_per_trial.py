import pytest

from slimtune.errors import ConfigError
from slimtune.search.settings.config import make_config
from slimtune.search.settings.per_trial import PerTrialSettings


def test_by_default_a_trial_has_one_cpu_no_gpu_and_all_the_time() -> None:
    settings = PerTrialSettings()
    assert (settings.cpus, settings.gpus, settings.timeout_seconds) == (1, 0, None)
    assert settings.device == "cpu"


def test_a_share_of_a_gpu_is_a_gpu_to_the_trial() -> None:
    assert PerTrialSettings(gpus=0.25).device == PerTrialSettings(gpus=1).device == "cuda:0"


def test_a_time_is_read_as_people_write_it() -> None:
    assert PerTrialSettings(timeout="1h30m").timeout_seconds == 5400


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cpus": 0}, "per_trial.cpus: must be greater than or equal to 1, but got 0"),
        ({"cpus": 1.5}, "per_trial.cpus: must be a valid integer"),
        ({"gpus": 2}, "per_trial.gpus: must be less than or equal to 1, but got 2"),
        ({"gpus": -0.5}, "per_trial.gpus: must be greater than or equal to 0"),
        ({"gpus": float("nan")}, "per_trial.gpus: must be"),
        ({"precision": "half"}, "per_trial.precision: must be"),
        ({"teacher_views": -1}, "per_trial.teacher_views: must be greater than or equal to 0"),
        ({"timeout": "10"}, "per_trial.timeout: give a unit, e.g. 10m"),
        ({"timeuot": "10m"}, "per_trial.timeuot: .*Did you mean 'timeout'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config({"per_trial": settings})
