from pathlib import Path

import pytest
import yaml

from slimtune.cli.config.config_file import load_yaml
from slimtune.cli.config.template import config_template
from slimtune.search.resuming.resume import space_words
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.spaces.presets import PRESETS
from slimtune.spaces.space import METHODS

SETTINGS = [
    {},
    {"space": {"prune": {"method": "all"}, "distill": {"method": "all"}}},
    {"space": {"quantize": {"method": ["rtn", "gpfq"], "bits": [8, 4]}}},
    {"start": [{"prune": "l1", "quantize": {"method": "int8_static"}}], "trials": 9},
    {"space": {"prune": {"amount": [0.2, 0.4]}}, "constraints": {"max_size": "1MB"}},
    {"space": {"train": {"lr": {"low": 1e-3, "high": 0.1, "log": True}}}},
    {"weights": "a: b #c.th", "data": "folder:'x'", "seeds": [1, 2], "sampler": "grid",
     "space": {"train": {"lr": 0.1}, "prune": {"method": "none"}, "distill": {"method": "none"}}},
]  # fmt: skip


def read_back(config: SearchConfig, folder: Path, preset: str | None = None) -> SearchConfig:
    file = folder / "search.yaml"
    file.write_text(config_template(config, preset), encoding="utf-8")
    return make_config(load_yaml(file)[0])


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_presets_file_reads_back_as_the_preset(preset: str | None, tmp_path: Path) -> None:
    config = make_config({}, preset)
    again = read_back(config, tmp_path, preset)
    assert again.model_copy(update={"space": config.space}) == config
    assert space_words(again.resolved_space()) == space_words(config.resolved_space())
    assert again.points() == config.points()


@pytest.mark.parametrize("settings", SETTINGS)
def test_any_settings_read_back_as_they_were(settings: dict, tmp_path: Path) -> None:
    config = make_config(settings)
    again = read_back(config, tmp_path)
    assert again.model_copy(update={"space": config.space}) == config
    assert space_words(again.resolved_space()) == space_words(config.resolved_space())


def test_every_setting_is_there_with_a_comment() -> None:
    text = config_template(make_config({}))
    lines = text.splitlines()
    for name, info in SearchConfig.model_fields.items():
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{name}:"))
        assert lines[at - 1].startswith("# "), name
        if info.description:
            words = " ".join(line.strip("# ") for line in lines[max(0, at - 8) : at])
            assert info.description.split()[0] in words
    assert max(map(len, lines)) <= 99
    assert "amount: {low: 0.1, high: 0.8, step: 0.05}" in text
    assert "    # bits: [4, 3]" in text and "for gpfq, apot: bits of a weight in the file" in text
    assert "range" not in yaml.safe_load(text)


def test_a_commented_dimension_is_valid_once_it_is_uncommented(tmp_path: Path) -> None:
    text = config_template(make_config({}))
    for line in [line for line in text.splitlines() if line.startswith("    # ") and ": " in line]:
        name = line[6:].partition(":")[0]
        if not any(name in row for rows in METHODS.values() for row in rows.values()):
            continue  # words, no dimension
        file = tmp_path / f"{name}.yaml"
        file.write_text(text.replace(line, f"    {line[6:]}", 1))
        make_config(load_yaml(file)[0])
