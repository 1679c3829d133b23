"""Searches with objects: in this process, in workers, and taken up again elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import slimtune as st
from slimtune.api.arguments import to_settings
from slimtune.errors import RunError
from slimtune.workload import own_code

RNG = np.random.default_rng(0)
LABELS = np.arange(240) % 2
SHADES = RNG.integers(0, 100, (240, 8, 8), np.uint8)
IMAGES = SHADES + (LABELS * 100).astype(np.uint8)[:, None, None]
SPACE = {"prune": {"method": "l1"}, "quantize": {"method": "none"}, "distill": {"method": "none"},
         "train": {"epochs": 0}}  # fmt: skip
SMALL = {"space": SPACE, "start": "none", "stopping": False, "quiet": True}
ROOT = Path(__file__).parents[2]


def maker(width: int) -> type[nn.Module]:
    """Return a class that nobody can import by name."""

    class Net(nn.Module):
        def __init__(self, num_classes: int, in_channels: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
            self.more = nn.Conv2d(width, width, 3, padding=1)
            self.out = nn.Linear(width, num_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.more(self.conv(x).relu()).relu().mean((2, 3)))

    return Net


def trained() -> nn.Module:
    torch.manual_seed(0)
    network = maker(16)(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    pixels = torch.from_numpy(IMAGES)[:, None].float() / 255
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(pixels), torch.from_numpy(LABELS)).backward()
        optimizer.step()
    return network


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> st.Run:
    """A search that was given a trained module and arrays."""
    out = tmp_path_factory.mktemp("objects") / "run"
    how = {"preprocessing": {"mean": "none"}, "executor": "inline"}
    return st.search(model=trained(), data=(IMAGES, LABELS), out=out, trials=2, **how, **SMALL)


def test_a_module_is_the_baseline_with_its_weights(run: st.Run) -> None:
    assert run.baseline["objectives"]["accuracy"] > 0.9  # by its own weights: none were trained
    assert run.manifest["workload"]["validation_source"] == "test"  # as with weights
    best = run.pick("accuracy")
    assert best.load()(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


def test_it_goes_on_in_this_process_and_with_the_same_objects(run: st.Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run.path, out)
    assert len(st.search(out=out, resume=True, trials=3, quiet=True).records) == 3
    again = st.search(out=out, resume=True, model=trained(), quiet=True)
    assert len(again.records) == 3
    with pytest.raises(RunError, match="model: object.model_.*:Net in the run, object.model_"):
        st.search(out=out, resume=True, model=maker(8)(2, 1))
    with pytest.raises(RunError, match="data: object.data_"):
        st.search(out=out, resume=True, data=(IMAGES + 1, LABELS))


ELSEWHERE = """
import sys
import slimtune as st
run = st.open_run(sys.argv[1])
print(len(run.front()))
for call in (
    lambda: run.pick("accuracy").load(),
    lambda: st.search(out=sys.argv[1], resume=True, trials=9, quiet=True),
    lambda: st.evaluate(run.pick("accuracy").path / "model.onnx"),
):
    try:
        call()
    except st.UserError as error:
        print(error)
"""


def test_another_process_reads_the_run_and_says_what_it_lacks(run: st.Run) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, run.path],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    members, load, resume, evaluate = done.stdout.splitlines()
    assert int(members) >= 1
    for line in (load, resume, evaluate):
        assert "was handed in as a Python object, which this process does not have" in line
    assert "st.load_model(FOLDER, model=...)" in load


def test_an_export_is_loaded_with_the_class_that_makes_the_network(
    run: st.Run, tmp_path: Path
) -> None:
    folder = run.pick("accuracy").export(tmp_path / "deploy")
    want = run.pick("accuracy").load()
    for model in (maker(16), trained(), lambda: maker(16)(2, 1)):
        network = st.load_model(folder, model=model)
        x = torch.rand(3, 1, 8, 8)
        assert torch.equal(network(x), want(x))


@pytest.mark.slow
def test_workers_are_given_classes_teachers_students_and_metrics(tmp_path: Path) -> None:
    def recall(logits: np.ndarray, labels: np.ndarray) -> float:
        return float((logits.argmax(1) == labels)[labels == 1].mean())

    space = {**SPACE, "student": {"model": ["baseline", maker(4)]}, "distill": {"method": "base"},
             "train": {"epochs": 1}}  # fmt: skip
    data = torch.utils.data.TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
    run = st.search(
        model=maker(16),
        teacher=trained(),
        data=data,
        preprocessing={"mean": "none"},
        out=tmp_path / "run",
        trials=3,
        concurrency=1,
        baseline={"epochs": 1},
        objectives=["accuracy", "size_bytes", (recall, "maximize")],
        **{**SMALL, "space": space},
    )
    assert [record.status for record in run.records] == ["complete"] * 3
    assert "recall:maximize" in run.front()
    teacher = st.open_run(run.path).manifest["config"]["teacher_weights"]
    assert teacher.startswith("object.model_")  # was not trained again


def test_compress_and_evaluate_take_objects(tmp_path: Path) -> None:
    data, half = (IMAGES, LABELS), {"mean": "none"}
    recipe = st.Recipe.from_dict(
        {"prune": {"method": "l1", "amount": 0.5}, "train": {"epochs": 0}}
    )
    made = st.compress(
        recipe, model=trained(), data=data, preprocessing=half, out=tmp_path / "a", quiet=True
    )
    assert made.record.metrics["params"] < made.baseline.metrics["params"]
    measured = st.evaluate(made.path / "model.onnx", data=data)
    assert measured["test_images"] == 48
    network = trained()
    of_module = st.evaluate(model=network, data=data)
    of_state = st.evaluate(model=maker(16), weights=network.state_dict(), data=data)
    assert of_module["test_accuracy"] == of_state["test_accuracy"]
    assert of_module["size_bytes"] == of_state["size_bytes"] > 4 * of_module["params"]


def test_what_is_handed_in_becomes_strings_that_need_no_consent() -> None:
    with own_code.consent_ends():
        network = trained()
        given = to_settings({"model": network, "data": (IMAGES, LABELS), "trials": None})
        assert given.keys() == {"model", "weights", "data"}
        assert given["weights"] == given["model"]
        assert to_settings({"model": maker(16)}).keys() == {"model"}  # is trained
        typed = to_settings({"model": network, "weights": "w.pt"})
        assert typed["weights"] == "w.pt"
        importable = to_settings({"model": "net.py:make", "teacher": nn.Identity})
        assert importable["teacher"] == "torch.nn.modules.linear:Identity"
        assert all(map(own_code.is_allowed, importable.values()))


def test_recipes_to_start_from_may_be_recipes() -> None:
    recipe = st.Recipe.from_dict({"prune": "l1"})
    given = to_settings({"start": [recipe, {"student": {"model": nn.Identity}}]})
    assert given["start"][0] == recipe.to_dict()
    assert given["start"][1]["student"]["model"] == "torch.nn.modules.linear:Identity"
    assert to_settings({"start": "auto"}) == {"start": "auto"}


def test_what_a_run_suggests_next_can_be_done_with_objects(run: st.Run, tmp_path: Path) -> None:
    card = (run.pick("accuracy").export(tmp_path / "deploy") / "README.md").read_text()
    assert 'load_model(".", model=...)' in card and "called `Net`" in card
    assert 'slimtune.compress("recipe.yaml", model=..., data=..., out="again")' in card
    assert "--model object." not in card and "--data object." not in card
