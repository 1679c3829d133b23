import warnings

import pytest

from slimtune.cli.screen.warning_lines import warning_lines
from slimtune.cli.state import State
from slimtune.errors import SlimtuneWarning


def test_each_of_ours_is_one_line_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with warning_lines(State()):
        for text in ("a\nb", "a\nb", "c"):
            warnings.warn(text, SlimtuneWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: a b\nwarning: c\n"


def test_quiet_is_quiet_and_others_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with warning_lines(State(verbosity=-1)):
        warnings.warn("a", SlimtuneWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="of others"):
            warnings.warn("of others", UserWarning, stacklevel=1)
    assert warnings.showwarning is before and capsys.readouterr().err == ""
