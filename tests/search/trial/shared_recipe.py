"""The trial that the tests of snapshots and of the stage store begin with."""

from typing import Any

from slimtune.conditions import Conditions
from slimtune.search.trial.spec import TrialSpec

TRAIN = {"epochs": 1, "batch_size": 256}
RECIPE: dict[str, Any] = {
    "prune": {"method": "l1", "amount": 0.5},
    "quantize": {"method": "int8_static"},
    "distill": {"method": "base"},
    "train": TRAIN,
}
SPEC = TrialSpec(0, RECIPE, Conditions(seed=1, prefix_seed=5))
DATA = "0" * 64
