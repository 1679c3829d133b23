import pytest

from slimtune.compression.pruning import PRUNING
from slimtune.errors import ConfigError
from slimtune.spaces.domains import Choice, Range
from slimtune.spaces.narrowing import in_order, narrowed, removes_weights
from slimtune.spaces.space import STAGES

SCHEDULES = Choice(("one_shot", "soft", "per_epoch"))


@pytest.mark.parametrize("method", list(PRUNING))
def test_what_single_weights_cannot_do_is_left_out_for_methods_that_remove_them(
    method: str,
) -> None:
    weights = PRUNING[method].removes == "weights"
    assert removes_weights(method) == weights
    fitting = narrowed(SCHEDULES, "prune", "schedule", method)
    assert fitting.ends() == (("one_shot",) if weights else SCHEDULES.values)
    scopes = Choice(("local", "stage"))
    left = narrowed(scopes, "prune", "scope", method).ends()
    assert left == (("local",) if weights else scopes.values)


def test_a_dimension_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match="space.prune.schedule: n_m removes single weights"):
        narrowed(Choice(("soft", "per_epoch")), "prune", "schedule", "n_m")


def test_other_dimensions_stay_as_they_are() -> None:
    amount = Range(0.1, 0.5)
    assert narrowed(amount, "prune", "amount", "n_m") == amount
    assert narrowed(SCHEDULES, "train", "schedule", "n_m") == SCHEDULES
    assert narrowed(SCHEDULES, "prune", "schedule", "none") == SCHEDULES


def test_the_schedule_comes_first_only_where_it_decides_what_else_there_is() -> None:
    row = STAGES["prune"]
    assert [name for name, _ in in_order(row)] == list(row)  # as searches were always drawn
    deciding = in_order({**row, "schedule": SCHEDULES})
    assert deciding[0] == ("schedule", SCHEDULES) and len(deciding) == len(row)
