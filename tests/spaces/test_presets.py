import pytest

from slimtune.errors import UnknownNameError
from slimtune.search.config import make_config
from slimtune.spaces.presets import PRESETS


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_a_valid_config(name: str) -> None:
    config = make_config({}, preset=name)
    assert config.trials >= 1


def test_the_demo_runs_at_least_sixteen_trials_on_bundled_data() -> None:
    config = make_config({}, preset="demo")
    assert config.trials >= 16 and config.data == "digits" and config.weights is None


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown preset 'dmeo'. Did you mean 'demo'"):
        make_config({}, preset="dmeo")
