import json
import math
from pathlib import Path

from slimtune.cli.screen.json_events import JsonEvents, told
from slimtune.conditions import Conditions
from slimtune.results.store.record import TrialRecord


def test_every_event_is_one_line_that_json_can_read() -> None:
    lines: list[str] = []
    tell = JsonEvents(lines.append)
    tell("epoch", {"loss": math.nan, "epoch": 1, "what": "two\nlines"})
    tell("stopping", {"grace": 10.0, "where": Path("runs/a"), "shape": (1, 8, 8)})
    assert [json.loads(line) for line in lines] == [
        {"event": "epoch", "loss": None, "epoch": 1, "what": "two\nlines"},
        {"event": "stopping", "grace": 10.0, "where": "runs/a", "shape": [1, 8, 8]},
    ]
    assert not any("\n" in line for line in lines)


def test_a_record_is_told_without_what_is_in_its_file() -> None:
    record = TrialRecord(
        number=3, status="complete", recipe={"order": "ppq"}, pipeline="l1 50%",
        conditions=Conditions(seed=7),
        objectives={"accuracy": 0.9}, metrics={"stable": True}, artifacts={"model.onnx": "00"},
    )  # fmt: skip
    values = json.loads(told("finished", {"record": record}))["record"]
    assert values["number"] == 3 and values["objectives"] == {"accuracy": 0.9}
    assert values["metrics"] == {"stable": True}
    assert not {"recipe", "artifacts", "host"} & set(values)
    resumed = json.loads(told("resumed", {"records": [record], "total": 4}))
    assert resumed["records"][0]["pipeline"] == "l1 50%"
