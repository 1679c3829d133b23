from pathlib import Path

import pytest

import slimtune as st
from slimtune.errors import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "dmeo"}, "Did you mean 'demo'"),
        ({"model": "resnt20", "data": "digits"}, "Did you mean 'resnet20'"),
        ({"data": "digts"}, "Did you mean 'digits'"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        st.search(out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_misspelt_setting_is_refused_as_of_any_function(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'trails'"):
        st.search(out=tmp_path / "run", trails=3)


def test_the_folder_may_be_given_as_text(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="already exists"):
        st.search(out=str(tmp_path / "run"), preset="demo")


def test_none_is_as_if_a_setting_were_not_given(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seeds: only a grid"):  # not tpe, the default
        st.search(out=tmp_path / "run", preset="ppq", sampler="tpe", seeds=[1])
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="already exists"):  # the sampler is the preset's: grid
        st.search(out=tmp_path / "run", preset="ppq", sampler=None, seeds=[1])
