import pytest

from slimtune.conditions import Conditions
from slimtune.errors import RunError, UserError
from slimtune.results.member import Member
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

FILES = {"model.onnx": b"onnx", "model.safetensors": b"weights", "model.json": b"{}"}


@pytest.fixture
def member(tmp_path):
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
        "workload": {"fingerprint": "ab"},
    }
    folder = RunFolder.create(tmp_path / "run", manifest)
    sound = {"accuracy": 0.5, "size_bytes": 1000.0}
    record = TrialRecord(
        number=0,
        status="complete",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=1),
        objectives=sound,
    )
    folder.write_trial(record, {}, FILES)
    return Member(0, folder.record(0), folder.trial_path(0), folder, loader=lambda path: path.name)


def test_a_member_is_loaded_from_its_own_folder(member):
    assert member.load() == "0000"


def test_weights_that_are_not_the_trials_are_not_loaded(member):
    (member.path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(RunError, match="SHA-256 mismatch"):
        member.load()


def test_without_a_loader_it_says_how_to_load(member):
    with pytest.raises(UserError, match="slimtune.open_run, or load the folder"):
        Member(0, member.record, member.path, member.folder).load()


def test_a_member_is_delivered_in_the_formats_that_are_asked_for(member, tmp_path):
    out = member.export(tmp_path / "deploy", formats=["torch"])
    assert (out / "model.safetensors").is_file() and not (out / "model.onnx").exists()
