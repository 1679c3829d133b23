import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slimtune.search.listeners.trackers.protocol import TrialLog
from slimtune.search.listeners.trackers.tensorboard import open_tensorboard
from slimtune.search.session import run_search
from slimtune.search.settings.config import SearchConfig

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")

TRIAL = TrialLog(
    name="trial-0003",
    status="complete",
    pipeline="l1 50% → apot 4b",
    params={"prune.amount": 0.5, "prune.method": "l1", "train.recalibrate": False},
    metrics={"accuracy": 0.75, "size_bytes": 2048.0},
    epochs=({"loss": 2.0}, {"loss": 1.0}),
)


def events(folder: Path) -> Iterator[Any]:
    """Yield what TensorBoard reads: records of a length, its checksum, an event, its checksum."""
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[12 + length + 4 :]


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events(folder)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    }


def hyper_parameters(folder: Path) -> set[str]:
    """Return the names that TensorBoard's table of hyper-parameters shows."""
    content = b"".join(
        value.metadata.plugin_data.content
        for event in events(folder)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    )
    return {name for name in ("prune.amount", "prune.method", "seed") if name.encode() in content}


def test_a_trial_is_read_back_from_its_event_file(tmp_path: Path) -> None:
    open_tensorboard(tmp_path).log(TRIAL)
    folder = tmp_path / "tensorboard" / "trial-0003"
    assert scalars(folder) == {
        ("epoch/loss", 1): 2.0,
        ("epoch/loss", 2): 1.0,
        ("accuracy", 0): 0.75,
        ("size_bytes", 0): 2048.0,
    }
    assert hyper_parameters(folder) == {"prune.amount", "prune.method"}
    texts = b"".join(e.SerializeToString() for e in events(folder))
    assert "l1 50% → apot 4b".encode() in texts


def test_a_search_logs_each_trial_as_it_finishes(
    digits_config: SearchConfig, tmp_path: Path
) -> None:
    space = {"train": {"epochs": 1}, "distill": {"method": "none"}, "quantize": {"method": "none"}}
    changes = {"trials": 2, "log_to": ("tensorboard",), "space": space, "start": "none"}
    run = run_search(digits_config.model_copy(update=changes), tmp_path / "run")
    folders = sorted((run.path / "tensorboard").iterdir())
    assert [folder.name for folder in folders] == ["trial-0000", "trial-0001"]
    for folder, record in zip(folders, run.records, strict=True):
        found = scalars(folder)
        assert found["accuracy", 0] == pytest.approx(record.objectives["accuracy"])
        assert found["size_bytes", 0] == record.objectives["size_bytes"]
        assert "seed" in hyper_parameters(folder)
