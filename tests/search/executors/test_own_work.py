import subprocess
import sys
from pathlib import Path

import ray

from slimtune.conditions import Conditions
from slimtune.search.executors.own_work import OwnWork, with_own_code
from slimtune.search.settings.config import make_config
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.workload.own_code import allow_all_code, load_code


def body(shared: object, spec: TrialSpec, aids: Aids) -> Outcome:
    return Outcome(spec.number, "complete")


def test_work_without_code_of_the_users_own_is_left_alone() -> None:
    assert with_own_code(body, make_config({})) is body


READ = """
import pickle, sys, torch
from slimtune.workload.own_code import load_code
reference, file = sys.argv[1:]
with open(file, "rb") as opened:
    work, network = pickle.load(opened)
work.code and __import__("slimtune.workload.own_code").workload.own_code.provide_code(work.code)
print(load_code(reference)(num_classes=3, in_channels=1)(torch.zeros(1, 1, 8, 8)).shape)
print(network(torch.zeros(1, 1, 8, 8)).shape)
"""


def test_code_travels_to_a_process_that_has_neither_the_file_nor_consent(
    own_net: Path, tmp_path: Path
) -> None:
    allow_all_code()
    reference = f"{own_net}:make"
    network = load_code(reference)(num_classes=3, in_channels=1)
    config = make_config({"model": reference, "data": f"{own_net}:wrong"})
    load_code(f"{own_net}:wrong")
    work = with_own_code(body, config)
    assert isinstance(work, OwnWork) and list(work.code) == [reference]
    plain = OwnWork(len, {reference: work.code[reference]})
    (tmp_path / "sent").write_bytes(ray.cloudpickle.dumps((plain, network)))
    own_net.unlink()
    command = [sys.executable, "-c", READ, reference, str(tmp_path / "sent")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["torch.Size([1, 3])"] * 2, done.stderr


def test_the_body_runs_as_it_is(own_net: Path) -> None:
    outcome = OwnWork(body, {"/gone.py:x": 1})(None, TrialSpec(5, {}, Conditions(0)), Aids())
    assert outcome.number == 5 and load_code("/gone.py:x") == 1
