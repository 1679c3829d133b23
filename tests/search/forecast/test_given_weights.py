"""Case 03 of the shared cases, as a test: one network trained with five normalisations."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor, nn

from slimtune.cli.main import main
from slimtune.errors import ModelError
from slimtune.search.forecast.given_weights import (
    GUESSING,
    NormalisationScore,
    WeightsCheck,
    check_given_weights,
    check_weights,
    some_images,
    usual_normalisations,
)
from slimtune.search.review.evaluate import evaluate_checkpoint
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.setup import load_workload
from slimtune.workload.datasets import load_dataset
from slimtune.workload.normalisation import NORMALISATIONS
from slimtune.workload.own_code import allow_all_code
from slimtune.workload.types import Split

NET = """
from torch import nn

def cbr(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())

def make(num_classes, in_channels):
    last = nn.Linear(32, num_classes)
    return nn.Sequential(
        cbr(in_channels, 16, 2), cbr(16, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
"""
STATISTICS = {
    **NORMALISATIONS,
    "odd": ((0.4, 0.3, 0.6), (0.11, 0.23, 0.17)),
}
WAYS = ("half", "none", "cifar10", "imagenet", "odd")


def images(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return low-contrast patterns: four of them, dark and bright, eight classes."""
    y, x = np.mgrid[:32, :32]
    rings = np.hypot(x - 16, y - 16)
    patterns = [np.sin(x / 2), np.sin(y / 2), np.sin((x + y) / 3), np.sin(rings)]
    labels = np.arange(count) % 8
    made = np.empty((count, 32, 32, 3), np.uint8)
    for i, label in enumerate(labels):
        rolled = np.roll(patterns[label % 4], rng.integers(6), axis=rng.integers(2))
        noise = 22 * rng.normal(size=(32, 32, 3))
        level = 95 if label < 4 else 150
        made[i] = np.clip(level + 30 * rolled[..., None] + noise, 0, 255)
    return made, labels.astype(np.int64)


def seen(pixels: np.ndarray, way: str) -> Tensor:
    """Normalise as torchvision's ToTensor and Normalize do."""
    mean, std = (torch.tensor(part).view(1, -1, 1, 1) for part in STATISTICS[way])
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def trained(folder: Path, way: str, x: np.ndarray, labels: np.ndarray) -> nn.Module:
    space: dict = {}
    exec(NET, space)
    torch.manual_seed(0)
    network = space["make"](8, 3)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    inputs, wanted = seen(x, way), torch.from_numpy(labels)
    for _ in range(8):
        for batch in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(network(inputs[batch]), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save(network.state_dict(), folder / f"{way}.pt")
    return network.eval()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the data, the network's code, and what torch scores by each way."""
    folder = tmp_path_factory.mktemp("normalised")
    rng = np.random.default_rng(1)
    (x, labels), (test, wanted) = images(640, rng), images(400, rng)
    np.savez(folder / "d.npz", x_train=x, y_train=labels, x_test=test, y_test=wanted)
    (folder / "net.py").write_text(NET)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for way in WAYS:
        network = trained(folder, way, x, labels)
        with torch.no_grad():
            score = (network(seen(test, way)).argmax(1).numpy() == wanted).mean()
        (folder / f"{way}.score").write_text(repr(float(score)))
    yield folder
    torch.set_num_threads(threads)


def config_of(folder: Path, way: str, options: str = "", **settings: object) -> SearchConfig:
    allow_all_code()
    named = {"model": f"{folder}/net.py:make", "weights": str(folder / f"{way}.pt")}
    return make_config({**named, "data": f"npz:{folder}/d.npz{options}", **settings})


def checks(config: SearchConfig) -> list[WeightsCheck]:
    return check_weights(config, load_workload(config, load_dataset(config.data)))


@pytest.mark.parametrize("way", WAYS)
def test_with_the_right_numbers_the_float_network_scores_what_torch_scores(
    place: Path, way: str
) -> None:
    allow_all_code()
    mean, std = ("/".join(map(str, part)) for part in STATISTICS[way])
    data = f"npz:{place}/d.npz@mean={mean},std={std}"
    found = evaluate_checkpoint(f"{place}/net.py:make", str(place / f"{way}.pt"), data)
    assert found["test_accuracy"] == float((place / f"{way}.score").read_text()) > 0.9


@pytest.mark.parametrize("way", ["half", "none", "cifar10"])
def test_the_right_normalisation_is_named_with_what_to_type(place: Path, way: str) -> None:
    [check] = checks(config_of(place, way))
    assert check.better is not None and check.better.option == f"mean={way},std={way}"
    typed = f"npz:{place}/d.npz@mean={way},std={way}"
    assert f"type --data '{typed}'" in check.warning() and "the default" in check.warning()
    [again] = checks(config_of(place, way, f"@mean={way},std={way}"))
    assert again.warning() == "" and again.as_it_is.right == check.better.right


@pytest.mark.parametrize(("way", "options"), [("imagenet", ""), ("half", "@mean=0.5,std=0.5")])
def test_weights_that_fit_give_no_advice(place: Path, way: str, options: str) -> None:
    [check] = checks(config_of(place, way, options))
    assert (
        check.warning() == ""
        and check.images == 200 + 296
        and check.chance == pytest.approx(1 / 8)
    )


def near_chance(folder: Path) -> Path:
    """Write weights of the right network that was never trained."""
    space: dict = {}
    exec(NET, space)
    torch.manual_seed(3)
    torch.save(space["make"](8, 3).state_dict(), folder / "untrained.pt")
    return folder


def test_a_search_stops_at_guessing_before_anything_is_trained(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near_chance(place)
    out = tmp_path / "run"
    quick = ["--trials", "1", "--no-ray", "--set", "space.train.epochs=0"]
    for stage in ("prune", "quantize", "distill"):
        quick += ["--set", f"space.{stage}.method=none"]
    network = ["--model", f"{place}/net.py:make", "--weights", str(place / "untrained.pt")]
    arguments = ["search", *network, "--data", f"npz:{place}/d.npz", *quick, "--out", str(out)]
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    error = shown.splitlines()[-1]
    assert error.startswith("error: the baseline is near chance: it has ")
    assert "guessing has 12.5%" in error and error.endswith("--allow-weak-baseline")
    assert not out.exists() and "pixels    imagenet: mean 0.485/0.456/0.406" in shown
    assert main([*arguments, "--dry-run"]) == 2
    assert main([*arguments, "--allow-weak-baseline"]) == 0
    assert "warning: the baseline is near chance" in capsys.readouterr().err


def test_the_python_way_to_insist_is_a_setting(place: Path) -> None:
    near_chance(place)
    heard: list[str] = []
    config = config_of(place, "untrained")
    workload = load_workload(config, load_dataset(config.data))
    with pytest.raises(ModelError, match="near chance"):
        check_given_weights(config, workload, heard.append)
    assert heard == []
    insists = config_of(place, "untrained", allow_weak_baseline=True)
    check_given_weights(insists, workload, heard.append)
    assert len(heard) == 1 and "no usual normalisation does better" in heard[0]


def test_a_teacher_is_held_to_the_same(place: Path) -> None:
    own = f"{place}/net.py:make"
    config = config_of(
        place, "imagenet", teacher=own, teacher_weights=str(near_chance(place) / "untrained.pt")
    )
    workload = load_workload(config, load_dataset(config.data))
    with pytest.raises(ModelError, match="^the teacher is near chance"):
        check_given_weights(config, workload, print)
    other = config_of(place, "imagenet", teacher=own, teacher_weights=str(place / "half.pt"))
    [_, check] = checks(other)
    assert "give a teacher that was trained with the baseline's" in check.advice()


def test_students_with_weights_are_only_warned_of(place: Path) -> None:
    student = {"model": f"{place}/net.py:make", "weights": str(place / "half.pt")}
    config = config_of(place, "imagenet", space={"student": student})
    heard: list[str] = []
    check_given_weights(config, load_workload(config, load_dataset(config.data)), heard.append)
    assert len(heard) == 1 and f"the student {place}/half.pt has " in heard[0]


def test_a_network_that_is_to_be_trained_is_not_looked_at(place: Path) -> None:
    assert checks(config_of(place, "half", weights=None)) == []
    assert len(checks(config_of(place, "half", weights=None, baseline={"epochs": 0}))) == 1


def checked(right: int, images: int, chance: float) -> WeightsCheck:
    now = NormalisationScore("mean=half,std=half", right)
    return WeightsCheck("baseline", images, chance, now, "half", (), None, "digits")


@pytest.mark.parametrize(
    ("right", "images", "chance", "near"),
    [
        (30, 300, 0.1, True),
        (46, 300, 0.1, True),  # 15.3 %: guessing does as well once in 500
        (50, 300, 0.1, False),
        (0, 300, 0.5, True),  # as of a network of two classes that were exchanged
        (285, 300, 0.95, True),  # names the commonest class
        (300, 300, 0.95, False),
        (4, 300, 0.001, False),
        (3, 300, 0.001, True),
        (3, 4, 0.5, False),  # not even 4 of 4 would tell
        (5, 8, 0.25, True),
    ],
)
def test_near_chance_is_what_guessing_does_as_well(
    right: int, images: int, chance: float, near: bool
) -> None:
    check = checked(right, images, chance)
    assert check.is_near_chance == near
    expected = binomtest(right, images, chance, alternative="greater").pvalue
    assert check.p_value == pytest.approx(expected)
    if chance**images <= GUESSING:
        assert near == (expected > GUESSING)


def test_the_images_are_of_all_classes_alike() -> None:
    labels = np.repeat(np.arange(3, dtype=np.int64), [1000, 100, 5])
    split = Split(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)
    counts = np.bincount(some_images(split, 300).labels)
    assert counts.tolist() == [100, 100, 5]
    many = Split(np.zeros((900, 1, 1, 1), np.uint8), np.arange(900, dtype=np.int64))
    assert len(some_images(many, 300)) == 300


def test_the_usual_ways_are_of_the_right_channels_and_never_the_one_in_use(place: Path) -> None:
    config = config_of(place, "half", "@mean=half,std=half")
    workload = load_workload(config, load_dataset(config.data))
    ways = usual_normalisations(workload)
    assert ((0.5,) * 3, (0.5,) * 3) not in ways and ((0.0,) * 3, (1.0,) * 3) in ways
    train = Split(workload.train.images[..., :1], workload.train.labels)
    grey = dataclasses.replace(workload, train=train, mean=(0.5,), std=(0.5,))
    assert {len(mean) for mean, _ in ways} == {3} and {
        len(m) for m, _ in usual_normalisations(grey)
    } == {1}
    assert ((0.1307,), (0.3081,)) in usual_normalisations(grey)
