import numpy as np
import pytest

from slimtune.results.views.report.design import (
    additive_values,
    design,
    fixed_settings,
    flat_settings,
)


def test_a_recipe_becomes_one_flat_mapping():
    nested = {"prune": {"method": "l1", "amount": 0.4}, "order": "ppq"}
    assert flat_settings(nested) == {"prune.method": "l1", "prune.amount": 0.4, "order": "ppq"}


def test_a_method_has_a_column_for_each_name_but_none_and_a_number_is_centred_where_it_is():
    recipes = [
        {"prune": {"method": "none"}},
        {"prune": {"method": "l1", "amount": 0.2}},
        {"prune": {"method": "l1", "amount": 0.6}},
        {"prune": {"method": "fpgm", "amount": 0.4}},
    ]
    columns = design(recipes)
    assert list(columns) == ["prune.method", "prune.amount"]
    assert columns["prune.method"].T.tolist() == [[0, 0, 0, 1], [0, 1, 1, 0]]
    amounts = columns["prune.amount"][:, 0]
    assert amounts[0] == 0 and amounts[3] == pytest.approx(0)
    assert amounts[1] == pytest.approx(-amounts[2])


def test_a_setting_that_goes_with_a_method_everywhere_is_left_out():
    recipes = [
        {"quantize": {"method": name, **extra}}
        for name, extra in [("none", {}), ("gpfq", {"c": 0.9, "bits": 4}), ("apot", {"bits": 3})]
    ]
    assert list(design(recipes)) == ["quantize.method"]


def test_equal_recipes_have_no_columns():
    assert design([{"order": "ppq"}, {"order": "ppq"}]) == {}


def test_a_number_of_four_values_may_bend_and_a_wide_one_counts_by_its_logarithm():
    recipes = [{"train": {"lr": lr}} for lr in (0.001, 0.01, 0.1, 1.0)]
    lr = design(recipes)["train.lr"]
    assert np.diff(lr[:, 0]) == pytest.approx([np.diff(lr[:, 0])[0]] * 3)
    assert design(recipes, squares=True)["train.lr"].shape == (4, 2)
    assert design(recipes[:3], squares=True)["train.lr"].shape == (3, 1)


def test_halving_a_size_or_an_error_counts_the_same_everywhere():
    size = additive_values("size_bytes", np.array([400.0, 200.0, 100.0]), log=True)
    assert size[0] - size[1] == pytest.approx(size[1] - size[2])
    accuracy = additive_values("accuracy", np.array([0.6, 0.8, 0.9]), log=False)
    assert accuracy[0] - accuracy[1] == pytest.approx(accuracy[1] - accuracy[2], rel=0.02)


def test_a_setting_is_fixed_where_the_space_has_one_value_for_it_in_every_method():
    space = {
        "prune.method": "none, l1",
        "quantize.method": "int8_static",
        "order": "Choice(values=('ppq',))",
        "train.epochs": "Choice(values=(4,))",
        "train.lr": "Range(low=0.01, high=0.1, step=None, log=True)",
        "prune.amount": "Range(low=0.5, high=0.5, step=0.05, log=False)",
        "quantize.gpfq.bits": "Choice(values=(4, 3))",
        "quantize.apot.bits": "Choice(values=(4,))",
        "distill.base.temperature": "Choice(values=(4.0,))",
    }
    assert fixed_settings(space) == {
        "quantize.method", "order", "train.epochs", "prune.amount", "distill.temperature"
    }  # fmt: skip
    assert fixed_settings({}) == frozenset()


def test_settings_that_are_left_out_take_no_column_from_others():
    recipes = [{"train": {"epochs": e, "lr": lr}} for e, lr in ((0, 1.0), (4, 2.0), (4, 3.0))]
    assert design(recipes).keys() == {"train.epochs", "train.lr"}
    assert design(recipes, without={"train.epochs"}).keys() == {"train.lr"}
