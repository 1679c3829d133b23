import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimtune.conditions import Conditions
from slimtune.errors import RunError
from slimtune.search.trial.spec import TrialSpec, shared_seed, trial_seed

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
recipes = st.dictionaries(st.text(), scalars | st.dictionaries(st.text(), scalars))


@settings(max_examples=30)
@given(st.integers(0, 10**6), recipes, st.integers(0, 2**31 - 1), st.integers(1, 64))
def test_a_spec_reads_back_equal_from_its_json_form(number, recipe, seed, threads):
    spec = TrialSpec(number, recipe, Conditions(seed, threads=threads, device="cuda:0"))
    assert TrialSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize("mapping", [{}, {"number": 1, "recipe": {}, "seed": 0, "gpu": 1}])
def test_a_spec_with_other_fields_is_refused_in_one_line(mapping):
    with pytest.raises(RunError, match="number, recipe, seed, threads, device") as caught:
        TrialSpec.from_dict(mapping)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 2**40), st.integers(0, 10**6))
def test_a_seed_is_31_bits_of_a_hash_that_any_version_computes_alike(run_seed, number):
    digest = hashlib.sha256(f"{run_seed}/{number}".encode()).hexdigest()
    assert trial_seed(run_seed, number) == int(digest[:8], 16) // 2
    assert 0 <= trial_seed(run_seed, number) < 2**31


def test_neighbouring_runs_and_trials_share_no_seed():
    seeds = [trial_seed(run, number) for run in range(20) for number in range(200)]
    assert len(set(seeds)) == len(seeds)


def test_a_spec_from_before_there_were_shared_seeds_has_none():
    old = {"number": 1, "recipe": {}, "seed": 2, "threads": 1, "device": "cpu"}
    assert TrialSpec.from_dict(old).conditions.prefix_seed is None


def test_the_shared_seed_is_the_runs_and_no_trials():
    assert shared_seed(0) == shared_seed(0) != shared_seed(1)
    assert shared_seed(0) not in [trial_seed(0, number) for number in range(1000)]
    assert 0 <= shared_seed(0) < 2**31


def test_the_json_form_is_flat_in_the_order_of_older_versions():
    written = (
        '{"number": 1, "recipe": {}, "seed": 2, "threads": 3, "device": "cuda", '
        '"prefix_seed": 5, "precision": "bfloat16", "views": 4}'
    )
    spec = TrialSpec.from_dict(json.loads(written))
    assert spec == TrialSpec(1, {}, Conditions(2, 3, "cuda", 5, "bfloat16", 4))
    assert json.dumps(spec.to_dict()) == written


def test_a_moved_spec_keeps_its_other_conditions():
    spec = TrialSpec(1, {}, Conditions(2, 3, "cuda", 5))
    assert spec.moved("cpu") == TrialSpec(1, {}, Conditions(2, 3, "cpu", 5))
    assert spec.moved("cpu", 1).conditions.threads == 1
