import pytest

from slimtune.errors import RunChangedError
from slimtune.results.store.folder import RunFolder
from slimtune.search.resuming.resume import (
    check_same_search,
    differences,
    recorded_settings,
    space_words,
    with_former_defaults,
)
from slimtune.search.settings.config import make_config

SETTINGS = {"model": "resnet8", "data": "digits", "seed": 3, "space": {"train": {"epochs": 1}}}


def folder_of(path, config):
    manifest = {
        "config": config.model_dump(mode="json"),
        "space": space_words(config.resolved_space()),
        "objectives": list(config.objectives),
        "reference_point": dict.fromkeys(config.objectives, 1.0),
        "workload": {"fingerprint": "0" * 64},
    }
    return RunFolder.create(path, manifest)


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "run", make_config(SETTINGS))


def test_what_is_not_given_is_taken_from_the_run(folder):
    again = make_config({"trials": 30}, run=recorded_settings(folder.path))
    assert again == make_config({**SETTINGS, "trials": 30})


def test_a_preset_lies_over_the_run_and_the_settings_over_both(tmp_path):
    folder = folder_of(tmp_path / "run", make_config({"trials": 7}, "demo"))
    run = recorded_settings(folder.path)
    assert make_config({}, run=run).trials == 7
    assert make_config({}, "demo", run) == make_config({}, "demo")
    check_same_search(folder, make_config({"trials": 9}, "demo", run))


def test_how_much_is_run_and_where_may_change(folder):
    changes = {"trials": 99, "concurrency": 2, "executor": "inline", "ray_address": "auto"}
    changes |= {"time_budget": "5m", "stop_when_flat": 9, "stopping": False}
    changes |= {"final": {"epochs": 8, "repeats": 2}}
    changes |= {"constraints": {"min_accuracy": "0.5", "max_size": "none"}}
    check_same_search(folder, make_config({**SETTINGS, **changes}))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": 4}, "  seed: 3 in the run, 4 now"),
        ({"model": "resnet20"}, "  model: resnet8 in the run, resnet20 now"),
        ({"weights": "/w.pt"}, "  weights: None in the run, /w.pt now"),
        ({"sampler": "random"}, "  sampler: tpe in the run, random now"),
        ({"space": {"train": {"epochs": 2}}}, "  space.train.epochs: 1 in the run, 2 now"),
        (
            {"space": {"prune": {"method": "l1"}}},
            "  space.prune: not given in the run, {'method': 'l1'} now",
        ),
        ({"sampler": "nsga2"}, "  sampler: tpe in the run, nsga2 now"),
        ({"start": "none"}, "  start: auto in the run, none now"),
        ({"baseline": {"epochs": 2}}, "  baseline.epochs: 30 in the run, 2 now"),
        ({"validation": {"fraction": 0.3}}, "  validation.fraction: None in the run, 0.3 now"),
        (
            {"objectives": ["accuracy", "macs"]},
            "  objectives: ['accuracy', 'size_bytes', 'latency_ms'] in the run, "
            "['accuracy', 'macs'] now",
        ),
    ],
)
def test_anything_else_is_refused_with_a_line_a_change(folder, changes, line):
    settings = {**recorded_settings(folder.path), **changes}
    with pytest.raises(RunChangedError) as caught:
        check_same_search(folder, make_config(settings))
    assert caught.value.exit_code == 5
    first, *lines = str(caught.value).splitlines()
    assert "was started with other settings" in first
    assert line in lines


def test_the_same_settings_that_mean_another_space_by_now_are_refused(folder):
    space = {**folder.manifest["space"], "prune.method": "none, l1"}
    del space["prune.round_to"]
    older = RunFolder(folder.path, {**folder.manifest, "space": space})
    with pytest.raises(RunChangedError) as caught:
        check_same_search(older, make_config(SETTINGS))
    lines = str(caught.value).splitlines()[1:]
    assert lines == [
        "  space prune.method: none, l1 in the run, none, l1, fpgm, group_norm, taylor now",
        "  space prune.round_to: not given in the run, Choice(values=(8,)) now",
    ]


def test_another_start_recipe_is_told_by_what_differs_in_it(tmp_path):
    recipes = [{}, {"prune": {"method": "l1", "amount": 0.3}}]
    folder = folder_of(tmp_path / "run", make_config({**SETTINGS, "start": recipes}))
    check_same_search(folder, make_config({**SETTINGS, "start": recipes}))
    recipes[1]["prune"]["amount"] = 0.5
    with pytest.raises(RunChangedError) as caught:
        check_same_search(folder, make_config({**SETTINGS, "start": recipes}))
    assert str(caught.value).splitlines()[1:] == [
        "  start.1.prune.amount: 0.3 in the run, 0.5 now"
    ]


def test_differences_are_found_at_any_depth():
    old, new = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": [5]}
    assert list(differences(old, new)) == [
        ("a.c", "2", "4"),
        ("d", "3", "not given"),
        ("e", "not given", "[5]"),
    ]


OLD_PENALTY = "Choice(values=(0.0001,))"
"""What run.json of an older version says of bn_scale's penalty."""


@pytest.mark.parametrize("former", [None, False])
def test_a_run_that_never_searched_statistics_goes_on_without(tmp_path, former):
    config = make_config(SETTINGS)
    now = folder_of(tmp_path / "run", config)
    space = {**now.manifest["space"], "train.recalibrate": f"Choice(values=({former},))"}
    older = RunFolder(now.path, {**now.manifest, "space": space})
    check_same_search(older, config)
    train = with_former_defaults(config, older.manifest).resolved_space().stages["train"]
    assert train["recalibrate"].ends() == (former,)
    train = with_former_defaults(config, now.manifest).resolved_space().stages["train"]
    assert train["recalibrate"].ends() == (None, True)


def test_a_run_of_an_older_version_goes_on_with_the_defaults_it_began_with(tmp_path):
    settings = {**SETTINGS, "space": {"prune": {"method": ["l1", "bn_scale", "group_norm"]}}}
    config = make_config(settings)
    now = folder_of(tmp_path / "run", config)
    space = {**now.manifest["space"], "prune.bn_scale.sparsity": OLD_PENALTY}
    space["train.recalibrate"] = "Choice(values=(False,))"
    del space["prune.rate"]  # which it did not have
    older = RunFolder(now.path, {**now.manifest, "space": space})
    check_same_search(older, config)
    pinned = with_former_defaults(config, older.manifest).resolved_space().methods["prune"]
    assert pinned["bn_scale"]["sparsity"].ends() == (1e-4,)
    train = with_former_defaults(config, older.manifest).resolved_space().stages["train"]
    assert train["recalibrate"].ends() == (False,)
    assert pinned["group_norm"] == config.resolved_space().methods["prune"]["group_norm"]
    assert with_former_defaults(config, now.manifest) == config
    with pytest.raises(RunChangedError, match="space.prune"):
        other = {**settings["space"]["prune"], "sparsity": 0.01}
        check_same_search(older, make_config({**settings, "space": {"prune": other}}))
