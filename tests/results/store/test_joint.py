import csv

import pandas as pd
import pytest

from slimtune.errors import RunError, SlimtuneWarning
from slimtune.results.class_scores import ClassScores
from slimtune.results.interval import standard_error
from slimtune.results.store.joint import JointRow, check_joint, read_joint, with_joint, write_joint

ROWS = [
    JointRow(trial=None, test_accuracy=0.91, test_standard_error=0.003, latency_ms=1.0),
    JointRow(trial=4, test_accuracy=0.90, test_standard_error=0.003, latency_ms=0.5, stable=False),
    JointRow(trial=7),
]


def test_a_joint_measurement_is_read_back_and_a_later_one_replaces_it(tmp_path):
    assert read_joint(tmp_path) == []
    write_joint(tmp_path, ROWS[:1])
    write_joint(tmp_path, ROWS)
    assert read_joint(tmp_path) == ROWS


def test_the_csv_says_the_same_in_words(tmp_path):
    write_joint(tmp_path, ROWS)
    with (tmp_path / "front" / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["baseline", "4", "7"]
    assert float(rows[1]["latency_ms"]) == 0.5
    assert rows[2]["test_accuracy"] == ""


@pytest.mark.parametrize("content", ["{", '{"rows": 3}', '{"rows": [{"trial": "x"}]}', "{}"])
def test_a_damaged_joint_measurement_is_as_good_as_none_and_said(tmp_path, content):
    write_joint(tmp_path, ROWS)
    (tmp_path / "front" / "front.json").write_text(content)
    with pytest.raises(RunError, match="front.json"):
        check_joint(tmp_path)
    with pytest.warns(SlimtuneWarning, match="front.json.*search --resume .* again"):
        assert read_joint(tmp_path) == []


def test_a_joint_measurement_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "front").write_text("in the way")
    with pytest.raises(RunError, match="front cannot be made"):
        write_joint(tmp_path, ROWS)


def test_test_errors_of_0_are_computed_from_the_number_of_images():
    table = pd.DataFrame({"trial": [3, 4], "pipeline": ["a", "b"]})
    rows = [JointRow(trial=3, test_accuracy=1.0, test_standard_error=0.0)]
    rows += [JointRow(trial=4, test_accuracy=0.5, test_standard_error=0.02)]
    told = with_joint(table, rows, 400)
    assert told["test_standard_error"].tolist() == [standard_error(1.0, 400), 0.02]
    assert rows[0].test_error(None) is None and JointRow(trial=5).test_error(400) is None


def test_scores_of_classes_are_read_back_and_are_not_in_the_csv(tmp_path):
    scores = ClassScores(right=((1, 2, 3), (0, 5, 5)), confused=((1, 0, 1),))
    rows = [JointRow(trial=None, test_classes=scores), JointRow(trial=1)]
    write_joint(tmp_path, rows)
    assert read_joint(tmp_path) == rows
    assert "test_classes" not in (tmp_path / "front" / "front.csv").read_text()
