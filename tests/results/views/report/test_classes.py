from slimtune.results.class_scores import ClassScores
from slimtune.results.store.joint import JointRow, write_joint
from slimtune.results.views.report.classes import member_classes
from slimtune.results.views.report.page import render
from tests.results.views.report.conftest import record

NAMES = ("accuracy", "size_bytes", "latency_ms")
POINTS = [(0.945, 40_000.0, 0.9), (0.93, 20_000.0, 0.5)]


def test_members_have_their_worst_classes_in_the_report(make_run):
    run = make_run(
        [record(n, objectives=dict(zip(NAMES, p, strict=True))) for n, p in enumerate(POINTS)]
    )
    assert member_classes(run, run.front()) == []
    assert "Single classes" not in render(run)
    scores = ClassScores(right=((1, 1, 4), (0, 3, 3)), confused=((1, 0, 3),))
    rows = [JointRow(trial=None, latency_ms=1.0, test_classes=ClassScores(right=((1, 3, 4),)))]
    rows += [JointRow(trial=n, latency_ms=0.5 + n, test_classes=scores) for n in (0, 1)]
    write_joint(run.path, rows)
    front = run.front()
    found = member_classes(run, front)
    assert [each.trial for each in found] == front["trial"].tolist()
    assert sum(each.knee for each in found) == 1
    page = render(run)
    assert "Single classes" in page and "0.7500</td><td>0.2500" in page
