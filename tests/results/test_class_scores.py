import numpy as np
from sklearn.metrics import confusion_matrix, recall_score

from slimtune.results.class_scores import (
    MOST_CLASSES,
    SHOWN,
    ClassScores,
    class_scores,
    class_table,
    class_tables,
)

RNG = np.random.default_rng(0)
LABELS = RNG.choice(6, 300, p=[0.3, 0.3, 0.2, 0.1, 0.1, 0.0])
NAMED = np.where(RNG.random(300) < 0.7, LABELS, RNG.integers(0, 6, 300))


def test_recalls_and_confusions_are_those_of_scikit_learn() -> None:
    scores = class_scores(NAMED, LABELS)
    recalls = recall_score(LABELS, NAMED, average=None, labels=range(5))
    assert {c: right / n for c, right, n in scores.right} == dict(enumerate(recalls))
    assert [right / n for _, right, n in scores.right] == sorted(recalls)
    matrix = confusion_matrix(LABELS, NAMED, labels=range(6))
    np.fill_diagonal(matrix, 0)
    assert all(matrix[a, b] == n for a, b, n in scores.confused)
    assert [n for *_, n in scores.confused] == sorted(matrix[matrix > 0], reverse=True)[:20]


def test_a_model_without_errors_confuses_nothing() -> None:
    scores = class_scores(LABELS, LABELS)
    assert scores.confused == () and all(right == n for _, right, n in scores.right)


def test_of_many_classes_the_worst_are_kept_and_fewer_are_shown() -> None:
    labels = np.repeat(np.arange(3000), 2)
    named = np.where(np.arange(6000) % 2 == 0, labels, 0)
    scores = class_scores(named, labels)
    assert len(scores.right) == MOST_CLASSES and len(scores.confused) == 20
    table = class_table(scores, None, [f"c{n}" for n in range(3000)])
    assert len(table.rows) == SHOWN and table.more == MOST_CLASSES - SHOWN
    assert table.rows[0] == ("c1", 2, "", "0.5000")
    assert table.model[0] == "c1 as c0 (1)" and table.baseline == ()


def test_the_baseline_stands_beside_the_model_class_by_class() -> None:
    model = ClassScores(right=((1, 1, 4), (0, 3, 3)), confused=((1, 0, 3),))
    base = ClassScores(right=((0, 2, 3), (1, 4, 4)), confused=((0, 1, 1),))
    found = class_tables({None: base, 7: model, 8: None}, ["cat"])
    assert list(found) == [7]
    assert found[7].rows == (("1", 4, "1.0000", "0.2500"), ("cat", 3, "0.6667", "1.0000"))
    assert found[7].model == ("1 as cat (3)",) and found[7].baseline == ("cat as 1 (1)",)
