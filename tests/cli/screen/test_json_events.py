import json
import math
from pathlib import Path

import pytest

from slimtune.cli.screen.json_events import JsonEvents, json_line
from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord
from slimtune.search.listeners import events
from slimtune.search.listeners.events import Event

RECORD = TrialRecord(
    number=3,
    status="complete",
    recipe={"order": "ppq"},
    pipeline="l1 50%",
    conditions=Conditions(seed=7),
    objectives={"accuracy": 0.9},
    metrics={"stable": True},
    artifacts={"model.onnx": "00"},
    seconds={"measure": 1.5},
)
AS_JSON = (
    '{"number": 3, "status": "complete", "pipeline": "l1 50%", "seed": 7, '
    '"objectives": {"accuracy": 0.9}, "metrics": {"stable": true}, "error": null, '
    '"seconds": {"measure": 1.5}}'
)
MEASURED = {"accuracy": 0.9, "latency_host": None, "test_accuracy": 0.5}
LINES: list[tuple[Event, str]] = [
    (events.Decoding(3, 7), '{"event": "decoding", "images": 3, "of": 7}'),
    (
        events.WorkloadReady(
            data="digits",
            image_shape=(1, 8, 8),
            classes=10,
            train=1008,
            validation=250,
            test=539,
            validation_source="train",
            notes=("left out é",),
            model="resnet8",
            trials=4,
            workers=2,
            seed=0,
            normalisation="pixels / 255",
            params=77,
        ),
        '{"event": "workload", "data": "digits", "image_shape": [1, 8, 8], "classes": 10, '
        '"train": 1008, "validation": 250, "test": 539, "validation_source": "train", '
        '"notes": ["left out é"], "model": "resnet8", "trials": 4, "workers": 2, "seed": 0, '
        '"normalisation": "pixels / 255", "params": 77}',
    ),
    (
        events.EpochTrained("baseline", 1, math.nan, 0.1, 0.75),
        '{"event": "epoch", "what": "baseline", "epoch": 1, "loss": null, "lr": 0.1, '
        '"validation_accuracy": 0.75}',
    ),
    (
        events.BaselineMeasured(MEASURED),
        '{"event": "baseline", "accuracy": 0.9, "latency_host": null, "test_accuracy": 0.5}',
    ),
    (
        events.TeacherMeasured(MEASURED, "resnet20"),
        '{"event": "teacher", "accuracy": 0.9, "latency_host": null, "test_accuracy": 0.5, '
        '"model": "resnet20"}',
    ),
    (events.Warned("two\nlines"), '{"event": "warning", "text": "two\\nlines"}'),
    (
        events.LimitsSet({"accuracy": 0.8}, {"accuracy": "-1%"}),
        '{"event": "limits", "limits": {"accuracy": 0.8}, "asked": {"accuracy": "-1%"}}',
    ),
    (
        events.LimitsSet({}, {}, {"accuracy": 0.8}, {"accuracy": "-1%"}, (3, 5)),
        '{"event": "limits", "limits": {}, "asked": {}, "before": {"accuracy": 0.8}, '
        '"asked_before": {"accuracy": "-1%"}, "stopped": [3, 5]}',
    ),
    (
        events.LimitsSet({"accuracy": 0.8}, {"accuracy": "-1%"}, {}, {}),
        '{"event": "limits", "limits": {"accuracy": 0.8}, "asked": {"accuracy": "-1%"}, '
        '"before": {}, "asked_before": {}, "stopped": []}',
    ),
    (
        events.Resumed((RECORD,), again=1, total=4),
        f'{{"event": "resumed", "records": [{AS_JSON}], "again": 1, "total": 4}}',
    ),
    (events.TrialStarted(2, "l1"), '{"event": "started", "number": 2, "pipeline": "l1"}'),
    (events.PhaseEntered(2, "prune"), '{"event": "stage", "number": 2, "stage": "prune"}'),
    (events.TrialFinished(RECORD), f'{{"event": "finished", "record": {AS_JSON}}}'),
    (events.Stopping(10.0), '{"event": "stopping", "grace": 10.0}'),
    (events.Stuck(), '{"event": "stuck"}'),
    (events.SearchStopped("spent"), '{"event": "stopped", "reason": "spent"}'),
    (events.Fruitless("diverged"), '{"event": "fruitless", "reason": "diverged"}'),
    (
        events.FinalsPlanned(members=2, repeats=1, epochs=30, cheap=3, finished=0, total=2),
        '{"event": "finals", "members": 2, "repeats": 1, "epochs": 30, "cheap": 3, '
        '"finished": 0, "total": 2}',
    ),
    (
        events.FinalStarted(0, 1, "0000-e30-r1", "l1"),
        '{"event": "final_started", "trial": 0, "repeat": 1, "name": "0000-e30-r1", '
        '"pipeline": "l1"}',
    ),
    (
        events.FinalFinished(0, 1, "0000-e30-r1", finished=1, total=2, record=RECORD),
        '{"event": "final_finished", "trial": 0, "repeat": 1, "name": "0000-e30-r1", '
        f'"finished": 1, "total": 2, "record": {AS_JSON}}}',
    ),
    (events.FinalsMeasured((7, 12)), '{"event": "finals_measured", "left": [7, 12]}'),
    (events.LimitsMissed("nearest: 3"), '{"event": "missed", "text": "nearest: 3"}'),
    (
        events.FrontMeasured(7.5, 0.25, members=3),
        '{"event": "final", "hypervolume": 7.5, "share": 0.25, "members": 3}',
    ),
    (events.ReportWritten("runs/a/r.html"), '{"event": "report", "path": "runs/a/r.html"}'),
]


@pytest.mark.parametrize(("event", "line"), LINES, ids=lambda one: getattr(one, "kind", ""))
def test_an_event_is_the_line_that_it_was_before_events_had_types(event: Event, line: str) -> None:
    lines: list[str] = []
    JsonEvents(lines.append)(event)
    assert lines == [line]


def test_each_type_of_event_has_a_line_above() -> None:
    kinds = {type(event) for event, _ in LINES}
    declared = {one for one in Event.__subclasses__() if one.__module__ == events.__name__}
    assert kinds == declared
    assert len({one.kind for one in declared}) == len(declared)


def test_what_json_does_not_know_becomes_text() -> None:
    line = json_line("front", {"run": Path("runs/a"), "shape": (1, 8, 8), "worst": math.inf})
    assert json.loads(line) == {
        "event": "front",
        "run": "runs/a",
        "shape": [1, 8, 8],
        "worst": None,
    }
