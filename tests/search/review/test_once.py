from slimtune.conditions import Conditions
from slimtune.search.review.once import compress_once
from slimtune.workload.types import Workload


def test_one_recipe_runs_without_a_search(digits: Workload) -> None:
    outcome = compress_once(
        digits, {"prune": {"method": "l1"}, "train": {"epochs": 0}}, Conditions(seed=0)
    )
    assert outcome.status == "complete" and outcome.number == 0
