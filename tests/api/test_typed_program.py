"""What a user's own type checker says of a program that uses slimtune."""

import subprocess
import sys
from pathlib import Path

import pytest

import slimtune

PROGRAM = """
import numpy as np
import slimtune as st
from torch import nn


def make(num_classes: int, in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3), nn.Flatten(), nn.Linear(288, num_classes))


rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (100, 8, 8), np.uint8), rng.integers(0, 2, 100)
run = st.search(model=make, data=(images, labels), trials=3, out="runs/a", executor="inline")
best: st.Member = run.pick("knee", min_accuracy=0.5)
print(run.front()["accuracy"].max(), best.record.objectives["size_bytes"])
network: nn.Module = best.load()
folder = best.export("deploy")
again: nn.Module = st.load_model(folder, model=make)
recipe = st.Recipe.from_dict({"prune": "l1"})
small: st.CompressedModel = st.compress(recipe, model=network, data=(images, labels), out="b")
print(small.load(), st.doctor(model=network, data=(images, labels)).command)
"""
WRONG = """
import slimtune as st
st.search(out="a", trails=3)
st.search(out="a", trials="many")
st.search(out="a", sampler="tpee")
st.no_such_name
reveal_type(st.search(out="a"))
"""


def checked(folder: Path, program: str) -> str:
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_the_package_says_that_it_has_types() -> None:
    assert Path(str(slimtune.__file__)).with_name("py.typed").is_file()


@pytest.mark.slow
def test_a_users_program_passes_strictly_and_mistakes_are_found(tmp_path: Path) -> None:
    assert checked(tmp_path, PROGRAM).startswith("Success")
    lines = checked(tmp_path, WRONG).splitlines()
    for number, words in (
        (3, 'Unexpected keyword argument "trails"'),
        (4, 'Argument "trials" to "search" has incompatible type "str"'),
        (5, 'Argument "sampler" to "search" has incompatible type'),
        (6, 'Module has no attribute "no_such_name"'),
        (7, 'Revealed type is "slimtune.search.opened.Run"'),
    ):
        assert any(f"program.py:{number}: " in line and words in line for line in lines), lines
