import json

import pytest

from slimtune.results.delivery.portable import (
    portable_description,
    portable_pipeline,
    portable_recipe,
    without_folders,
)

OWN = "/home/bob/p/net.py:make"
RECIPE = {"student": {"model": OWN, "weights": "/home/bob/w:1/w.th"}, "order": "ppq"}


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        ("digits", "digits"),
        ("parquet:/home/me/data/cifar10", "parquet:cifar10"),
        ("folder:/home/me/photos@size=8x8,channels=1", "folder:photos@size=8x8,channels=1"),
        ("npz:/home/me/d.npz@mean=0.5/0.4/0.3,std=1", "npz:d.npz@mean=0.5/0.4/0.3,std=1"),
        ("./load.py:make@mean=half,std=0.2/0.2/0.25", "load.py:make@mean=half,std=0.2/0.2/0.25"),
        ("folder:/home/me@x=1/photos", "folder:photos"),
        ("folder:/home/a:b/photos", "folder:photos"),
        ("/secret/place/w.th", "w.th"),
        ("/secret/pla:ce/w.th", "w.th"),
        ("torchvision:resnet18", "torchvision:resnet18"),
        ("my.package:build", "my.package:build"),
        (OWN, "net.py:make"),
        ("./mine.py:build", "mine.py:build"),
    ],
)
def test_files_are_named_without_the_folders_that_lead_there(reference: str, short: str) -> None:
    assert without_folders(reference) == short


def test_a_recipe_names_its_student_alone() -> None:
    short = portable_recipe(RECIPE)
    assert short == {"student": {"model": "net.py:make", "weights": "w.th"}, "order": "ppq"}
    for other in ({}, {"student": "baseline"}, {"student": {"model": "baseline"}}):
        assert portable_recipe(other) == other


def test_a_pipeline_names_its_student_alone() -> None:
    assert portable_pipeline(f"{OWN} → l1 50%", RECIPE) == "net.py:make → l1 50%"
    assert portable_pipeline("l1 50%", {"student": {"model": "baseline"}}) == "l1 50%"
    assert portable_pipeline("l1 50%", {}) == "l1 50%"


def test_a_description_names_its_network_alone_and_is_else_the_same_to_the_byte() -> None:
    content = {"architecture": {"name": OWN, "in_channels": 1}, "mean": [0.1], "recipe": RECIPE}
    short = json.loads(portable_description(json.dumps(content).encode()))
    assert short["architecture"] == {"name": "net.py:make", "in_channels": 1}
    assert short["recipe"]["student"]["weights"] == "w.th" and short["mean"] == [0.1]
    plain = b'{"architecture":   {"name": "resnet8"}, "classes": ["a/b"]}'
    assert portable_description(plain) == plain
