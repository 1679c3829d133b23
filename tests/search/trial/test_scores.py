from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from slimtune.errors import ConfigError, NonFiniteError, UserError
from slimtune.results.objectives import parse_objectives
from slimtune.search.trial.scores import check_metrics, names_of, own_metrics, scores
from slimtune.workload.own_code import allow_all_code

METRICS = """
import numpy as np
from sklearn.metrics import f1_score
def f1(logits, labels): return f1_score(labels, logits.argmax(1), average="macro")
def tensor(logits, labels): return np.float32(0.5)
def nothing(logits, labels): return None
def nan(logits, labels): return float("nan")
def fails(logits, labels): raise KeyError("cat")
def leaves(logits, labels): raise SystemExit(3)
def writes(logits, labels): logits[:] = 0; labels[:] = 0; return 1.0
word = "f1"
"""

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((50, 3)).astype(np.float32)
LABELS = RNG.choice(3, 50, p=[0.8, 0.15, 0.05])


@pytest.fixture
def metrics(tmp_path: Path) -> str:
    file = tmp_path / "metrics.py"
    file.write_text(METRICS)
    allow_all_code()
    return str(file)


def test_a_metric_of_the_users_own_is_recorded_by_its_name(metrics: str) -> None:
    objectives = ("accuracy", f"{metrics}:f1:maximize", f"{metrics}:tensor:minimize")
    assert names_of(objectives) == ("accuracy", "f1:maximize", "tensor:minimize")
    found = scores(LOGITS, LABELS, objectives)
    assert found["f1:maximize"] == f1_score(LABELS, LOGITS.argmax(1), average="macro")
    assert type(found["tensor:minimize"]) is float


def test_balanced_accuracy_is_always_measured() -> None:
    found = scores(LOGITS, LABELS, ("accuracy", "size_bytes"))
    assert found["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(LABELS, LOGITS.argmax(1))
    )
    assert 0 < found["balanced_accuracy_standard_error"] < 0.3


def test_a_metric_cannot_change_what_others_see(metrics: str) -> None:
    before = LOGITS.copy(), LABELS.copy()
    scores(LOGITS, LABELS, (f"{metrics}:writes:maximize", "size_bytes"))
    assert np.array_equal(before[0], LOGITS) and np.array_equal(before[1], LABELS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing:maximize must return a finite number, but got None"),
        ("nan", "nan:maximize must return a finite number, but got nan"),
        ("fails", "fails:maximize raised KeyError: 'cat'; it is called with logits .50, 3."),
        ("leaves", "leaves:maximize raised SystemExit: 3"),
        ("word", "must be a function of .logits, labels."),
        ("gone", "metrics.py has no 'gone'"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_before_a_search(
    metrics: str, name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_metrics((f"{metrics}:{name}:maximize",), LABELS, 3)


def test_in_a_trial_a_metric_without_a_number_is_the_trials_failure(metrics: str) -> None:
    with pytest.raises(NonFiniteError):
        scores(LOGITS, LABELS, (f"{metrics}:nan:maximize",))


def test_a_bare_name_has_no_code() -> None:
    with pytest.raises(ConfigError, match="f1:maximize names no code; write FILE.py:f1:maximize"):
        own_metrics(("f1:maximize",))


def test_the_direction_must_be_said() -> None:
    with pytest.raises(UserError, match="'m.py:f1' needs a direction; write m.py:f1:maximize"):
        parse_objectives(("m.py:f1", "size_bytes"))
