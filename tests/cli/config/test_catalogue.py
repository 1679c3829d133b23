import dataclasses
import json
from typing import Annotated, Literal

import pytest
from pydantic import Field

from slimtune.cli.config.catalogue import Entry, _settings, catalogue
from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION
from slimtune.compression.settings import settings
from slimtune.spaces.presets import PRESETS
from slimtune.workload.sources import SOURCES
from slimtune.workload.zoo import ZOO

REGISTRIES = {
    "pruning": PRUNING,
    "quantization": QUANTIZATION,
    "distillation": DISTILLATION,
    "model": ZOO,
    "data": SOURCES,
    "preset": PRESETS,
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_everything_that_is_registered_is_listed_with_a_line_about_it(kind: str) -> None:
    listed = [entry for entry in catalogue() if entry.kind == kind]
    assert [entry.name for entry in listed] == list(REGISTRIES[kind])
    for entry in listed:
        assert entry.summary and "\n" not in entry.summary, entry.name


@pytest.mark.parametrize("kind", ["pruning", "quantization", "distillation"])
def test_every_setting_of_every_method_is_listed_in_full(kind: str) -> None:
    for entry in catalogue():
        if entry.kind != kind:
            continue
        names = [field.name for field in dataclasses.fields(REGISTRIES[kind][entry.name])]
        assert [setting["name"] for setting in entry.settings] == names
        assert entry.reference
        for setting in entry.settings:
            assert setting["description"], (entry.name, setting)


def test_the_catalogue_is_json() -> None:
    json.dumps([entry.to_dict() for entry in catalogue()], allow_nan=False)


@settings
class Example:
    """Has one setting of every kind."""

    amount: Annotated[float, Field(ge=0, lt=1, description="share")] = 0.5
    scope: Annotated[Literal["a", "b"], Field(description="where")] = "a"
    name: Annotated[str, Field(description="which")]


def test_ranges_defaults_and_descriptions_come_from_the_fields() -> None:
    amount, scope, name = _settings(Example)
    assert amount == {
        "name": "amount",
        "type": "float",
        "range": "≥ 0, < 1",
        "default": 0.5,
        "required": False,
        "description": "share",
    }
    assert (scope["type"], scope["range"], scope["default"]) == ("choice", "one of a, b", "a")
    assert (name["required"], name["default"], name["range"]) == (True, None, "")


def test_the_summary_is_the_first_paragraph_on_one_line() -> None:
    assert Entry("kind", "name", "One\nsentence.\n\nMore.").summary == "One sentence"
