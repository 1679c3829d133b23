from functools import partial

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from slimtune.compression.recipe import Recipe
from slimtune.conditions import Conditions
from slimtune.search.proposing.plan import ProposalPlan
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.samplers import FLAT, make_sampler, value_at
from slimtune.search.proposing.study import open_study
from slimtune.search.settings.config import POPULATION
from slimtune.search.trial.spec import Outcome
from slimtune.spaces.flat import suggest_flat
from slimtune.spaces.space import Space, suggest_recipe

DIRECTIONS = ["maximize", "minimize"]
OBJECTIVES = ["accuracy", "size_bytes"]
SPACE = Space.restricted({})
_NAMES = {"nsga2": "NSGAIISampler", "nsga3": "NSGAIIISampler"}
ALL = ["tpe", "nsga2", "nsga3", "random", "qmc"]


def new_study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(directions=DIRECTIONS)


def proposer(study, sampler, trials, space=SPACE, **options):
    suggest = suggest_flat if sampler in FLAT else suggest_recipe
    plan = ProposalPlan(
        lambda trial: suggest(trial, space).to_dict(),
        trials,
        key=lambda recipe: Recipe.from_dict(recipe).key(),
        sampler=sampler,
        **options,
    )
    return Proposer(study, plan, objectives=OBJECTIVES, conditions=Conditions(seed=5))


def measure(spec):
    """A made-up problem: what is removed costs accuracy, pruning more than bits."""
    prune, quantize = spec.recipe["prune"], spec.recipe["quantize"]
    amount = prune.get("amount", 0.0)
    size = (1 - amount) * {"none": 32, "int8_static": 8}.get(quantize["method"], 4)
    loss = amount**2 / (2 if prune["method"] == "taylor" else 1) + 0.01 * (size < 8)
    return Outcome(spec.number, "complete", {"accuracy": 1 - loss, "size_bytes": size})


def run_all(asked, violations=None):
    specs = []
    while (spec := asked.ask()) is not None:
        specs.append(spec)
        asked.tell(measure(spec), violations(spec) if violations else None)
    return specs


@pytest.mark.parametrize("sampler", ALL)
def test_a_reopened_study_goes_on_exactly_and_repeats_no_recipe(sampler, tmp_path) -> None:
    ends = (3, 12, 14, 16)  # TPE models from its 11th trial
    if sampler.startswith("nsga"):  # and this is in its third generation in the end
        ends = (5, POPULATION + 3, 2 * POPULATION + 1, 2 * POPULATION + 4)
    whole = run_all(proposer(new_study(), sampler, ends[-1]))
    parts = []
    for end in ends:
        study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
        parts += run_all(proposer(study, sampler, end))
    assert parts == whole
    keys = [Recipe.from_dict(spec.recipe).key() for spec in whole]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_every_trial_of_nsga_knows_its_generation(sampler) -> None:
    study = new_study()
    run_all(proposer(study, sampler, 2 * POPULATION + 1))
    born = [trial.system_attrs[f"{_NAMES[sampler]}:generation"] for trial in study.trials]
    assert born == [0] * POPULATION + [1] * POPULATION + [2]


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_children_are_made_of_their_parents(sampler) -> None:
    """A child's genes come from trials before it, but for one in as many as there are genes."""
    study = new_study()
    run_all(proposer(study, sampler, 2 * POPULATION))
    first, second = study.trials[:POPULATION], study.trials[POPULATION:]

    def inherited(trials):
        known = {name: {t.params[name] for t in first} for name in first[0].params}
        found = [trial.params["train.lr"] in known["train.lr"] for trial in trials]
        return sum(found) / len(found)

    assert inherited(second) > 0.5
    assert set(second[0].params) == set(first[0].params)


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_trials_that_failed_belong_to_no_generation(sampler) -> None:
    study = new_study()
    asked = proposer(study, sampler, POPULATION + 5)
    while (spec := asked.ask()) is not None:
        failed = Outcome(spec.number, "failed", reason="no")
        asked.tell(failed if spec.number % 5 == 0 else measure(spec))
    born = {trial.system_attrs.get(f"{_NAMES[sampler]}:generation") for trial in study.trials}
    assert born == {0}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3"])
def test_constraints_lead_the_sampler(sampler) -> None:
    """The limit is on something that no objective depends on: only constraints lead there.

    To either side, for a sampler may happen to be on one of them.
    """

    def broken(limited):
        found = 0
        for side in (1, -1):
            limit = partial(violations, side) if limited else None
            specs = run_all(proposer(new_study(), sampler, 3 * POPULATION), limit)
            found += sum(side * distance(spec) > 0 for spec in specs[POPULATION:])
        return found

    def violations(side, spec):
        return {"lr": side * distance(spec)}

    def distance(spec):
        return spec.recipe["train"]["lr"] / 0.015 - 1

    assert broken(limited=True) + 10 < broken(limited=False)


def test_constraints_are_kept_where_optuna_looks_for_them(tmp_path) -> None:
    study = open_study(tmp_path / "study.db", DIRECTIONS, "s")
    asked = proposer(study, "tpe", 3)
    for violation in (0.5, 0.0, -0.5):
        asked.tell(measure(asked.ask()), {"size_bytes": violation})
    assert [trial.constraints for trial in study.trials] == [
        {"size_bytes": 0.5},
        {"size_bytes": 0.0},
        {"size_bytes": -0.5},
    ]
    assert 0 not in [trial.number for trial in study.best_trials]


@pytest.mark.parametrize(
    "restriction", [{}, {"distill": {"method": "none"}, "train": {"epochs": [0, 3]}}]
)
@pytest.mark.parametrize("sampler", FLAT)
def test_a_dimension_that_another_choice_overrules_is_no_fault_of_the_study(
    sampler, restriction
) -> None:
    """Flat samplers draw epochs and statistics also for recipes that train nothing."""
    asked = proposer(new_study(), sampler, 30, space=Space.restricted(restriction))
    specs = run_all(asked)
    assert any(spec.recipe["train"]["epochs"] == 0 for spec in specs)
    assert asked.fault({}) == ""


def test_points_of_qmc_are_spread_more_evenly_than_chance() -> None:
    """Of 16 consecutive points of a scrambled Sobol sequence, one lies in each sixteenth."""

    def sixteenths(sampler):
        study = optuna.create_study()
        drawn = []
        for index in range(16):
            study.sampler = make_sampler(sampler, 3, number=index, attempt=0, history=study.trials)
            trial = study.ask()
            drawn.append(trial.suggest_float("x", 0, 16))
            study.tell(trial, 0.0)
        return sorted(map(int, drawn))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    assert sixteenths("qmc") == list(range(16))
    assert sixteenths("random") != list(range(16))


def test_points_that_made_a_known_recipe_are_used_up() -> None:
    """What a later trial draws begins after all that earlier ones threw away."""
    space = Space.restricted(
        {
            "prune": {"method": ["none", "l1"], "amount": 0.5, "scope": "local"},
            "quantize": {"method": ["none", "int8_static"]},
            "distill": {"method": "none"},
        }
    )
    study = new_study()
    run_all(proposer(study, "qmc", 20, space=space))
    draws = [trial.user_attrs["draws"] for trial in study.trials]
    assert max(draws) > 1
    rates = [trial.params["train.lr"] for trial in study.trials]
    assert len(set(rates)) == len(rates)


@pytest.mark.parametrize(
    ("distribution", "ends"),
    [
        (CategoricalDistribution(["a", "b", "c"]), ("a", "c")),
        (IntDistribution(2, 8, step=3), (2, 8)),
        (IntDistribution(2, 8, log=True), (2, 8)),
        (FloatDistribution(0.1, 0.8, step=0.05), (0.1, 0.8)),
        (FloatDistribution(0.003, 0.1, log=True), (0.003, 0.1)),
        (FloatDistribution(-1.0, 1.0), (-1.0, 1.0)),
    ],
)
def test_a_coordinate_covers_a_distribution_from_end_to_end(distribution, ends) -> None:
    found = value_at(distribution, 0.0), value_at(distribution, 1 - 1e-12)
    assert found == ends if isinstance(ends[0], str) else found == pytest.approx(ends)
    for at in (0.0, 0.3, 0.7, 1 - 1e-12):
        value = value_at(distribution, at)
        optuna.trial.create_trial(  # which refuses a value that the distribution lacks
            value=0.0, params={"x": value}, distributions={"x": distribution}
        )
