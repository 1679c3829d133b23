"""What a trial costs beside its training: ResNet-20 on digits, three epochs, the default space.

    python benchmarks/trial.py [--short]

Recipes are drawn as a search draws them. Each trial is judged, so that it is previewed before
training, as in a search; nothing is stopped. What is not training is the wall time of the trial
less the stages in which it trains (validation after each epoch counts as training).
"""

import time
from collections.abc import Iterator
from statistics import median

import torch
from table import Row, run_script

from slimtune.conditions import Conditions
from slimtune.search.forecast.estimate import TRAINING_STAGES
from slimtune.search.proposing.draws import draw_recipes
from slimtune.search.settings.config import make_config
from slimtune.search.setup import load_workload, train_missing
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.trial import run_trial
from slimtune.workload.datasets import load_dataset

SETTINGS = {
    "model": "resnet20",
    "data": "digits",
    "validation": {"fraction": 0.3},
    "baseline": {"epochs": 3, "lr": 0.1, "batch_size": 64},
    "space": {"train": {"epochs": 3, "batch_size": 64}},
}


def go_on(_outcome: Outcome) -> str:
    """Judge, which has the trial previewed, and never stop."""
    return ""


def rows(short: bool) -> Iterator[Row]:
    """Run trials and tell their seconds apart."""
    torch.set_num_threads(1)
    config = make_config(SETTINGS)
    workload = load_workload(config, load_dataset(config.data))
    train_missing(workload, config, lambda what, epoch: None)
    recipes = draw_recipes(config, 9 if short else 25)
    beside, shares, stages = [], [], []
    for number, recipe in enumerate(recipes):
        began = time.perf_counter()
        outcome = run_trial(
            workload, TrialSpec(number, recipe, Conditions(number)), Aids(judge=go_on)
        )
        wall = time.perf_counter() - began
        spent = outcome.payload.seconds
        training = sum(s for name, s in spent.items() if name.split()[0] in TRAINING_STAGES)
        if number and outcome.status == "complete":  # the first of a process imports
            beside.append(wall - training)
            shares.append(100 * (wall - training) / wall)
            stages.append({**spent, "all": wall})
    names = ["prune", "preview", "export", "parity", "measure", "latency", "all"]
    each = {name: median(s.get(name, 0.0) for s in stages) for name in names}
    note = "median seconds: " + ", ".join(f"{name} {value:.2f}" for name, value in each.items())
    what = "of a trial that is not training, ResNet-20, digits"
    yield Row(f"seconds {what}", "-", tuple(beside), 1.5, least=False, unit="s", note=note)
    yield Row(f"share {what}, 3 epochs", "the trial", tuple(shares), 25, least=False, unit="%")


if __name__ == "__main__":
    run_script(__doc__, rows)
