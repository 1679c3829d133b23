import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from slimtune.conditions import Conditions
from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.trial.attempt import AtPhase
from slimtune.search.trial.spec import Outcome, TrialSpec
from tests.search.recording import Recording

ROOT = Path(__file__).parents[3]


def specs(trials):
    return [TrialSpec(n, {"x": n, "empty": {}}, Conditions(seed=n)) for n in range(trials)]


class Driver(Recording):
    """A recording driver of so many trials, which can be run on Ray."""

    def __init__(self, trials):
        super().__init__(specs(trials))

    def run(self, work, shared=None, concurrency=1):
        RayExecutor(concurrency).run(work, shared, self)
        return self


def finish(shared, spec, aids):
    return Outcome(spec.number, "complete", {})


def note(folder, file, text):
    with open(Path(folder, file), "a") as notes:
        notes.write(text)


def make(shared, spec, aids):
    """A trial of the usual kind: numbers from a seed and the shared data, and a large file."""
    note(shared["folder"], "calls", str(spec.number))
    note(shared["folder"], "pids", f"{os.getpid()}\n")
    note(shared["folder"], "folders", f"{os.getcwd()}\n")
    if spec.number == 1:
        raise ValueError("cannot be weighed")
    generator = np.random.default_rng(spec.conditions.seed)
    y = float((generator.normal(size=100) * shared["weights"]).sum())
    files = {"model.onnx": generator.bytes(5 * 2**20), "empty": b""}
    return Outcome(spec.number, "complete", {"y": y}, spec.recipe, files)


class Pair:
    """The same four trials by both executors."""

    def __init__(self, tmp_path):
        self.folder = tmp_path / "ray"
        inline_folder = tmp_path / "inline"
        self.folder.mkdir()
        inline_folder.mkdir()
        weights = np.linspace(0, 1, 100)
        self.inline = Driver(4)
        shared = {"weights": weights, "folder": str(inline_folder)}
        InlineExecutor().run(make, shared, self.inline)
        shared = {"weights": weights, "folder": str(self.folder)}
        self.ray = Driver(4).run(make, shared)

    def lines(self, file):
        return (self.folder / file).read_text().split()


@pytest.fixture(scope="module")
def pair(session, tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("pair"))


def test_ray_and_inline_ask_and_tell_in_the_same_order(pair):
    assert pair.ray.log == pair.inline.log
    of_one = [(name, 0) for name in ("ask", "start", "tell", "finish")]
    assert pair.ray.log[:5] == [*of_one, ("ask", 1)]


def test_ray_and_inline_give_the_same_outcomes(pair):
    assert pair.ray.outcomes[0] == pair.inline.outcomes[0]
    assert pair.ray.outcomes[2:] == pair.inline.outcomes[2:]
    assert len(pair.ray.outcomes[3].files["model.onnx"]) == 5 * 2**20


def test_a_trial_that_raises_fails_with_its_traceback_and_the_search_goes_on(pair):
    failed, same = pair.ray.outcomes[1], pair.inline.outcomes[1]
    assert (failed.number, failed.status, failed.reason) == (same.number, "failed", same.reason)
    assert failed.reason == "ValueError: cannot be weighed"
    assert b"in make" in failed.files["error.txt"]
    assert [outcome.status for outcome in pair.ray.outcomes[2:]] == ["complete"] * 2


def test_one_process_serves_all_trials_once_each_in_the_drivers_folder(pair):
    assert pair.lines("calls") == ["0123"]
    assert len(set(pair.lines("pids"))) == 1
    assert pair.lines("pids")[0] != str(os.getpid())
    assert set(pair.lines("folders")) == {os.getcwd()}


def inspect(shared, spec, aids):
    folder, array = Path(shared["folder"]), shared["array"]
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:  # the first trial holds its worker for the second's
        time.sleep(0.01)
    try:
        array[0] = 1
        refused = "written"
    except ValueError as error:
        refused = str(error)
    # An array that was copied is in private memory, one of the store in a mapped file.
    address = array.ctypes.data + array.nbytes // 2
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if low <= address < high:
            inode = line.split()[4]
    return Outcome(spec.number, "complete", {}, payload=(os.getpid(), refused, inode))


@pytest.fixture(scope="module")
def two_at_a_time(session, tmp_path_factory):
    shared = {"folder": str(tmp_path_factory.mktemp("pids")), "array": np.zeros(2_000_000)}
    return Driver(7).run(inspect, shared, concurrency=2)


def test_shared_arrays_are_read_only_and_one_memory_for_all_workers(two_at_a_time):
    pids, refused, inodes = zip(*[o.payload for o in two_at_a_time.outcomes], strict=True)
    assert len(set(pids)) == 2
    assert all("read-only" in message for message in refused)
    assert len(set(inodes)) == 1
    assert inodes[0] != "0"


def test_side_by_side_every_trial_is_asked_and_told_once(two_at_a_time):
    log = two_at_a_time.log
    assert [n for name, n in log if name == "ask"] == [*range(7), None]
    assert sorted(n for name, n in log if name == "tell") == list(range(7))
    running = [0]
    for name, _ in log:
        running.append(running[-1] + {"start": 1, "tell": -1}.get(name, 0))
    assert max(running) == 2


def die(folder, spec, aids):
    note(folder, f"attempts-{spec.number}", "x")
    if spec.number == 0 or (spec.number == 1 and Path(folder, "attempts-1").stat().st_size == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(spec.number, "complete", {}, payload=spec)


@pytest.fixture(scope="module")
def deadly(session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deadly")
    outcomes = Driver(3).run(die, str(folder)).outcomes
    return outcomes, [(folder / f"attempts-{n}").read_text() for n in range(3)]


def test_a_trial_that_always_kills_its_worker_fails_after_three_attempts(deadly):
    outcomes, attempts = deadly
    assert attempts[0] == "xxx"
    assert (outcomes[0].number, outcomes[0].status, outcomes[0].payload) == (0, "failed", None)
    assert "3 attempts" in outcomes[0].reason


def test_a_killed_worker_is_replaced_and_its_trial_ends_complete(deadly):
    outcomes, attempts = deadly
    assert attempts[1:] == ["xx", "x"]
    assert [(o.number, o.status) for o in outcomes[1:]] == [(1, "complete"), (2, "complete")]
    assert [outcome.payload for outcome in outcomes[1:]] == specs(3)[1:]


def test_an_interrupt_between_trials_ends_the_search_after_what_was_told(session):
    class Interrupted(Driver):
        def tell(self, outcome):
            super().tell(outcome)
            signal.raise_signal(signal.SIGINT)

    driver = Interrupted(5)
    with pytest.raises(KeyboardInterrupt):
        driver.run(finish)
    assert [n for name, n in driver.log if name == "tell"] == [0]


@pytest.mark.parametrize("broken", ["ask", "tell"])
def test_an_error_of_ask_or_tell_ends_the_search_as_itself(session, broken):
    def fail(*args):
        raise OSError("disk full")

    driver = Driver(3)
    setattr(driver, broken, fail)
    with pytest.raises(OSError, match="^disk full$"):
        driver.run(finish)
    assert len([entry for entry in driver.log if entry[0] == "ask"]) <= 1


def environment(home):
    """Return the variables of a process that has its own home and no Ray around it."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    return {**mine, "HOME": str(home), "PYTHONPATH": str(ROOT)}


SCRIPT = """
import os, sys, time
from slimtune.conditions import Conditions
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec

told = []

def work(shared, spec, aids):
    time.sleep(0.0 if spec.number < 2 else 60.0)
    return Outcome(spec.number, "complete", {})

class Telling(SpecList):
    def tell(self, outcome):
        told.append(outcome.number)
        sys.stdout.write(f"told {outcome.number}\\n")
        sys.stdout.flush()

before = dict(os.environ)
RayExecutor(1).run(work, None, Telling([TrialSpec(0, {}, Conditions(0))]))
told.clear()
try:
    RayExecutor(1).run(work, None, Telling(TrialSpec(n, {}, Conditions(0)) for n in range(100)))
except KeyboardInterrupt:
    changed = dict(set(os.environ.items()) ^ set(before.items()))
    assert not changed, changed
    sys.stdout.write(f"interrupted after {told}\\n")
"""


@pytest.mark.slow
def test_one_interrupt_ends_the_second_search_of_a_process_quietly(tmp_path):
    """Start Ray twice; Ctrl-C within the third trial; nothing printed, set or written."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("told 1"):
            time.sleep(1)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole group
    assert lines == ["told 0", "told 0", "told 1", "interrupted after [0, 1]"]
    assert process.wait() == 0
    assert list(tmp_path.iterdir()) == []


CLUSTER_SCRIPT = """
import sys, time
import ray
from ray.cluster_utils import Cluster
from slimtune.conditions import Conditions
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
cluster.add_node(num_cpus=1)
cluster.add_node(num_cpus=1)

def work(shared, spec, aids):
    time.sleep(2.0)
    node = ray.get_runtime_context().get_node_id()
    return Outcome(spec.number, "complete", {}, node, {"model.onnx": bytes(2**21)})

driver = SpecList(TrialSpec(n, {}, Conditions(0)) for n in range(6))
RayExecutor(concurrency=2, address=cluster.address).run(work, None, driver)
told = driver.outcomes
assert not ray.is_initialized()
assert all(outcome.files == {"model.onnx": bytes(2**21)} for outcome in told)
sys.stdout.write(f"{len(told)} trials on {len({outcome.payload for outcome in told})} nodes")
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_joined_by_its_address_runs_trials_on_all_nodes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER_SCRIPT],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "6 trials on 2 nodes"


def ask_for_entries(shared, spec, aids):
    found = [aids.fetch_entry(key) for key in ("there", "gone")]
    return Outcome(spec.number, "complete", payload=found)


def entry_of(key):
    return {"model.safetensors": b"w" * 2**20} if key == "there" else None


def test_a_worker_fetches_entries_from_the_drivers_host(session):
    driver = Driver(1)
    driver.fetch_entry = entry_of
    driver.run(ask_for_entries)
    assert driver.outcomes[0].payload == [entry_of("there"), None]


def tell_and_wait(shared, spec, aids):
    aids.tell_phase("prune")
    aids.tell_phase("fine-tune")
    time.sleep(2.5)
    return finish(shared, spec, aids)


def test_the_driver_hears_which_phase_a_trial_is_in(session):
    driver = Driver(1)
    heard = []
    driver.on_event = heard.append
    driver.run(tell_and_wait)
    assert AtPhase(0, "fine-tune") in heard
    assert isinstance(heard[0], TrialSpec) and isinstance(heard[-1], Outcome)
