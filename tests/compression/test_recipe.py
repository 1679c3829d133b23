import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimtune.compression.distillation import DISTILLATION, BaseDistillation
from slimtune.compression.pruning import PRUNING
from slimtune.compression.quantization import QUANTIZATION, Int8Static
from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Prune, Train
from slimtune.errors import ConfigError, UnknownNameError

recipes = st.builds(
    lambda prune, amount, scope, schedule, quantize, distill, epochs: {
        "student": {"model": "resnet18"},
        "prune": {"method": prune, "amount": amount, "scope": scope, "schedule": schedule},
        "quantize": {"method": quantize},
        "distill": {"method": distill},
        "train": {"epochs": epochs, "mixup": 0.2},
    },
    st.sampled_from([name for name in PRUNING if PRUNING[name].removes == "channels"]),
    st.floats(0, 0.99),
    st.sampled_from(["local", "stage", "global"]),
    st.sampled_from(["one_shot", "incremental", "soft"]),
    st.sampled_from(list(QUANTIZATION)),
    st.sampled_from(list(DISTILLATION)),
    st.integers(1, 30),
)


@given(recipes)
def test_a_recipe_survives_json_exactly(mapping: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(mapping)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@given(recipes)
def test_the_effective_form_is_a_fixed_point(mapping: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(mapping)
    assert recipe.effective().effective() == recipe.effective()
    assert recipe.key() == recipe.effective().key()


def test_an_empty_mapping_changes_nothing_but_fine_tunes() -> None:
    recipe = Recipe.from_dict({})
    assert recipe.prune is None and recipe == Recipe()


def test_a_method_may_be_given_by_name_alone() -> None:
    recipe = Recipe.from_dict({"prune": "fpgm", "quantize": "int8_static", "distill": "base"})
    assert isinstance(recipe.quantize, Int8Static)
    assert isinstance(recipe.distill, BaseDistillation)


def test_pruning_nothing_and_distilling_with_weight_zero_are_not_different_pipelines() -> None:
    plain = Recipe.from_dict({})
    for idle in (
        {"prune": {"method": "l1", "amount": 0}},
        {"distill": {"method": "base", "alpha": 0}},
    ):
        assert Recipe.from_dict(idle).key() == plain.key()


def test_without_an_epoch_no_training_setting_matters() -> None:
    slow = Recipe(train=Train(epochs=0, lr=0.001))
    assert slow.key() == Recipe(train=Train(epochs=0, lr=0.1)).key()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {"prune": {"method": "l1", "amount": 1.0}},
            "prune.amount: must be less than 1, but got 1.0",
        ),
        (
            {"prune": {"method": "l1", "amount": -0.1}},
            "prune.amount: must be greater than or equal",
        ),
        ({"prune": {"method": "l1", "amuont": 0.1}}, "prune.amuont: .* Did you mean 'amount'"),
        (
            {"prune": {"method": "l1", "scope": "everywhere"}},
            "prune.scope: must be 'local', 'stage' or 'global'",
        ),
        (
            {"distill": {"method": "base", "temperature": 0}},
            "distill.temperature: must be greater than 0",
        ),
        (
            {"distill": {"method": "base", "alpha": 1.5}},
            "distill.alpha: must be less than or equal to 1",
        ),
        ({"distill": {"method": "none", "alpha": 0.5}}, "distill.alpha: unknown key"),
        ({"train": {"epochs": -1}}, "train.epochs: must be greater than or equal to 0"),
        ({"train": {"lr": float("nan")}}, "train.lr: "),
        ({"train": {"epcohs": 1}}, "train.epcohs: unknown key 'epcohs'. Did you mean 'epochs'"),
        ({"trian": {}}, "unknown key 'trian'. Did you mean 'train'"),
        ({"prune": 3}, "prune: must be a mapping, but got 3"),
        ([], "recipe: must be a mapping"),
        ({1: {}}, "1: unknown key"),
        ({"prune": {"method": "l1", 1: {}}}, "prune.1: unknown key"),
        ({"prune": {"amount": 0.5}}, "prune.amount: needs a pruning method; set prune.method"),
        ({"prune": {"method": "none", "amuont": 5}}, "prune.amuont: needs a pruning method"),
        (
            {"distill": {"method": "base"}, "train": {"epochs": 0}},
            "train.epochs: must be at least 1 with distillation",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_value(mapping: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Recipe.from_dict(mapping)
    assert "\n" not in str(caught.value)


def a_quantizer(trains: bool) -> str:
    return next(n for n in QUANTIZATION if QUANTIZATION[n].trains == trains and n != "none")


def a_pruning_of(what: str) -> str:
    return next(name for name in PRUNING if PRUNING[name].removes == what)


def test_rules_between_stages_are_refused_in_one_line_with_a_way_out() -> None:
    soft = {"method": a_pruning_of("channels"), "schedule": "soft"}
    weights = {"method": a_pruning_of("weights")}
    learned, fixed = a_quantizer(trains=True), a_quantizer(trains=False)
    for mapping, message in (
        ({"prune": soft, "train": {"epochs": 0}}, "train.epochs: must be at least 1 to prune"),
        ({"prune": {**weights, "schedule": "soft"}}, "prune.schedule: .*use one_shot"),
        ({"prune": {**weights, "schedule": "per_epoch"}}, "prune.schedule: .*use one_shot"),
        ({"prune": {**soft, "schedule": "per_epoch", "amount": 0.5}}, "prune.amount: with sched"),
        ({"prune": {**soft, "schedule": "per_epoch", "rate": 1}}, "prune.rate: "),
        (
            {"prune": {**soft, "schedule": "per_epoch"}, "train": {"epochs": 0}},
            "train.epochs: must be at least 1 to prune",
        ),
        ({"prune": {**weights, "scope": "stage"}}, "prune.scope: .*use local or global"),
        ({"prune": weights, "quantize": learned, "order": "spq"}, "order spq"),
        ({"quantize": fixed, "order": "spq"}, f"order: spq .* is {fixed}; use one of .*{learned}"),
        ({"order": "qpp"}, "order: must be ppq or spq, but got 'qpp'"),
        ({"student": {"weights": "a.pth"}}, "student.weights: the baseline has its own"),
        (
            {"distill": "dkd", "train": {"label_smoothing": 0.1}},
            "distill.dkd: needs hard labels, but train.label_smoothing is 0.1; set it to 0",
        ),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            Recipe.from_dict(mapping)
        assert "\n" not in str(caught.value)


def test_order_spq_prunes_softly_whatever_the_schedule() -> None:
    recipe = Recipe.from_dict(
        {"prune": "l1", "quantize": a_quantizer(trains=True), "order": "spq"}
    )
    soft = Recipe.from_dict(
        {
            "prune": {"method": "l1", "schedule": "soft"},
            "quantize": a_quantizer(trains=True),
            "order": "spq",
        }
    )
    assert recipe.softly and not recipe.in_steps and recipe.key() == soft.key()
    assert " with " in recipe.describe()


def test_by_the_epoch_the_rate_and_the_epochs_say_how_much_goes() -> None:
    prune = {"method": "fpgm", "schedule": "per_epoch", "rate": 0.1}
    stages = {"prune": prune, "quantize": a_quantizer(trains=True), "train": {"epochs": 5}}
    for order in ("ppq", "spq"):
        recipe = Recipe.from_dict({**stages, "order": order})
        assert recipe.softly and not recipe.in_steps
        assert recipe.amount == pytest.approx(1 - 0.9**5)
        assert "fpgm 41% (10% an epoch)" in recipe.describe()
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        assert recipe.effective().prune == recipe.prune
    with pytest.raises(ConfigError, match="prune.amount: with schedule per_epoch"):
        Recipe(prune=Prune(method=PRUNING["l1"](), amount=0.3, schedule="per_epoch"))


def test_a_rate_makes_no_other_recipe_where_there_is_an_amount() -> None:
    plain = Recipe.from_dict({"prune": "l1"})
    rated = Recipe.from_dict({"prune": {"method": "l1", "rate": 0.2}})
    assert rated.key() == plain.key() and Recipe.from_dict(rated.to_dict()) == rated
    assert "rate" not in plain.to_dict()["prune"]  # as recipes of older runs are stored


def test_settings_of_steps_matter_only_where_there_are_steps() -> None:
    prune = {"method": "l1", "steps": 5}
    at_once = Recipe.from_dict({"prune": prune})
    assert at_once.key() == Recipe.from_dict({"prune": "l1"}).key()
    in_steps = Recipe.from_dict({"prune": {**prune, "schedule": "incremental"}})
    assert in_steps.epochs == 3 + 4 * 1 and in_steps.key() != at_once.key()


def test_an_amount_that_a_method_does_not_use_makes_no_other_recipe() -> None:
    keys = {
        Recipe.from_dict({"prune": {"method": "n_m", "amount": amount}}).key()
        for amount in (0.2, 0.5)
    }
    assert len(keys) == 1 and "%" not in Recipe.from_dict({"prune": "n_m"}).describe()


def test_another_student_is_one_line_and_is_named_in_the_description() -> None:
    recipe = Recipe.from_dict({"student": "resnet18", "distill": "base"})
    assert recipe.student.model == "resnet18" and recipe.describe().startswith("resnet18 → KD")


@pytest.mark.parametrize("stage", ["prune", "quantize", "distill"])
def test_an_unknown_method_is_refused(stage: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"{stage}.method: unknown .* 'zzz'.*Known: "):
        Recipe.from_dict({stage: {"method": "zzz"}})


def test_a_pipeline_is_described_in_the_order_it_runs() -> None:
    recipe = Recipe.from_dict(
        {
            "prune": {"method": "l1", "amount": 0.5},
            "quantize": {"method": "int8_static"},
            "distill": {"method": "base", "alpha": 0.7, "temperature": 4},
        }
    )
    assert recipe.describe() == "l1 50% → int8_static → KD base T=4 α=0.7"
    assert Recipe(train=Train(epochs=0)).describe() == "unchanged"
    assert Recipe(train=Train(recalibrate=True)).describe() == "recalibrated"
    assert Recipe(train=Train(epochs=0, recalibrate=True)).describe() == "unchanged"
    mixed = {"quantize": {"method": "gpfq", "stage_bits": "8-4-2"}, "train": {"epochs": 0}}
    assert Recipe.from_dict(mixed).describe() == "gpfq 8-4-2b"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"quantize": "int8_static"}, "fine-tuned → int8_static"),
        ({"quantize": "float16", "train": {"epochs": 1}}, "fine-tuned → float16"),
        ({"quantize": "rtn", "train": {"mixup": 0.2}}, "fine-tuned → rtn 4b → mixup 0.2"),
        ({"quantize": "int8_static", "train": {"epochs": 0}}, "int8_static"),
        ({"quantize": "int8_static", "prune": "l1"}, "l1 50% → int8_static"),
        ({"quantize": "int8_static", "distill": "dist"}, "int8_static → KD dist T=4"),
        ({"quantize": "int8_static", "student": "resnet8"}, "resnet8 → int8_static"),
        ({"quantize": "lsq"}, "lsq 4b"),
        ({}, "fine-tuned"),
    ],
)
def test_a_fine_tune_that_no_other_word_tells_of_is_named(
    recipe: dict[str, Any], words: str
) -> None:
    assert Recipe.from_dict(recipe).describe() == words


def test_a_stage_built_in_python_is_checked_too() -> None:
    with pytest.raises(ValueError):
        Prune(method=PRUNING["l1"](), amount=2)


@pytest.mark.parametrize(
    ("stages", "stage", "name", "values"),
    [
        ({"train": {"epochs": 0}, "quantize": {"method": "lsq"}}, "train", "lr", (0.01, 0.1)),
        ({"quantize": {"method": "lsq", "epochs": 0}}, "quantize", "lr", (0.01, 0.1)),
        ({"quantize": {"method": "gpfq", "stage_bits": "8-4"}}, "quantize", "bits", (3, 4)),
        ({"train": {"schedule": "constant"}}, "train", "decay", (0.1, 0.2)),
        ({"prune": {"method": "group_norm"}}, "prune", "sparsity", (1e-3, 1e-4)),
    ],
)
def test_a_setting_without_effect_makes_no_other_pipeline(
    stages: dict[str, Any], stage: str, name: str, values: tuple[float, float]
) -> None:
    keys = set()
    for value in values:
        own = {**stages.get(stage, {}), name: value}
        keys.add(Recipe.from_dict({**stages, stage: own}).key())
    assert len(keys) == 1


def test_pruning_nothing_is_nothing_whatever_its_schedule() -> None:
    plain = Recipe.from_dict({"train": {"epochs": 0}})
    steps = {"prune": {"method": "l1", "amount": 0, "schedule": "incremental"}}
    for idle in (
        {**steps, "train": {"epochs": 0}, "distill": "base"},
        {"prune": {"method": "bn_scale", "amount": 0}, "train": {"epochs": 0}},
    ):
        assert Recipe.from_dict(idle).key() == plain.key()


@pytest.mark.parametrize(
    ("stages", "acts"),
    [
        ({"quantize": {"method": "rtn", "bits": 3}, "train": {"epochs": 0}}, True),
        ({"prune": {"method": "l1", "amount": 0.5}, "train": {"epochs": 0}}, True),
        ({"quantize": {"method": "rtn", "bits": 3}}, False),  # three epochs
        ({"quantize": "lsq", "train": {"epochs": 0}}, False),  # its own epochs
        ({"train": {"epochs": 0}}, False),  # nothing that changes a weight
        ({"quantize": "float16", "train": {"epochs": 0}}, False),
        ({"quantize": "rtn", "train": {"epochs": 0, "recalibrate": False}}, False),
        ({"train": {"epochs": 1, "recalibrate": True}}, True),
    ],
)
def test_statistics_are_measured_again_where_nothing_is_trained_unless_it_is_said(
    stages: dict[str, Any], acts: bool
) -> None:
    recipe = Recipe.from_dict(stages)
    assert recipe.effective().train.recalibrate is acts
    assert (
        Recipe.from_dict(recipe.to_dict()) == recipe
    )  # an old record says it: it stays as it was
