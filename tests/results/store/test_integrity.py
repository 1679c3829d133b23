import json

import pytest

from slimtune.conditions import Conditions
from slimtune.errors import RunError
from slimtune.results.store.files import sha256_bytes
from slimtune.results.store.integrity import (
    check_stored_network,
    find_fault,
    model_fault,
    recorded_hashes,
)
from slimtune.results.store.record import TrialRecord
from slimtune.results.store.sealed import seal

FILES = {"model.onnx": b"graph", "model.safetensors": b"weights", "model.json": b"{}"}
HASHES = {name: sha256_bytes(data) for name, data in FILES.items()}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "baseline"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "result.json").write_text(json.dumps({"artifacts": HASHES}))
    return folder


def test_files_that_are_as_they_were_written_have_no_fault(place):
    assert recorded_hashes(place) == HASHES
    assert find_fault(place, HASHES) == ""
    check_stored_network(place.parent, "baseline")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["bit", "empty", "link", "folder"])
def test_any_other_content_is_named(place, tmp_path, name, change):
    path = place / name
    if change == "bit":
        path.write_bytes(bytes([FILES[name][0] ^ 1]) + FILES[name][1:])
    else:
        path.unlink()
    if change == "empty":
        path.touch()
    elif change == "link":
        (tmp_path / "copy").write_bytes(FILES[name])
        path.symlink_to(tmp_path / "copy")
    elif change == "folder":
        path.mkdir()
    fault = find_fault(place, HASHES)
    assert str(path) in fault and "\n" not in fault
    if name != "model.onnx":
        with pytest.raises(RunError, match="restore the file from a copy, or start a new search"):
            check_stored_network(place.parent, "baseline")


def test_a_file_that_is_gone_is_a_fault_only_where_it_is_needed(place):
    (place / "model.json").unlink()
    assert find_fault(place, HASHES) == ""
    assert "model.json" in find_fault(place, HASHES, gone=True)
    with pytest.raises(RunError, match="model.json"):
        check_stored_network(place.parent, "baseline")


@pytest.mark.parametrize("text", [None, "{}", '{"artifacts": 3}', '{"artifacts": {"a": 1}}'])
def test_a_run_without_recorded_hashes_is_accepted(place, text):
    (place / "result.json").unlink()
    if text is not None:
        (place / "result.json").write_text(text)
    (place / "model.json").write_bytes(b"other")
    assert recorded_hashes(place) == {}
    check_stored_network(place.parent, "baseline")


def test_damaged_hashes_are_not_taken_for_those_of_an_older_run(place):
    for text in (
        b"{",
        seal({"artifacts": HASHES}).replace(b'"model.json": "', b'"model.json": "0'),
    ):
        (place / "result.json").write_bytes(text)
        with pytest.raises(RunError, match="result.json.*damaged"):
            check_stored_network(place.parent, "baseline")


def test_why_a_trial_cannot_be_measured(place):
    record = TrialRecord(
        number=3,
        status="complete",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=0),
        artifacts=HASHES,
    )
    assert model_fault(record, place) == ""
    (place / "model.safetensors").write_bytes(b"other")  # not what is measured
    assert model_fault(record, place) == ""
    (place / "model.onnx").write_bytes(b"other")
    assert "SHA-256 mismatch" in model_fault(record, place)
    (place / "model.onnx").unlink()
    assert model_fault(record, place) == "its model.onnx is gone"
