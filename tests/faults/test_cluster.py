"""Ray clusters of several nodes with GPUs that are declared and not there.

Each runs in a process of its own, which prints what it saw as JSON. Run as
``pytest -s -m slow tests/faults/test_cluster.py`` to see the counts.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from slimtune.results.run import open_run

ROOT = Path(__file__).parents[2]
BEGINNING = """
import json, os, sys, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from slimtune.search.executors.ray_tune import run_ray
from slimtune.search.trial.spec import Outcome, TrialSpec

def tell_all(found):
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()

def trials(count):
    specs = [TrialSpec(number, {}, 0) for number in range(count)]
    return lambda: specs.pop(0) if specs else None
"""


def seen_by(script: str, folder: Path, *arguments: object, seconds: float = 800) -> Any:
    """Run a script that prints JSON, in a process with its own home and no Ray around it."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + script, *map(str, arguments)],
        env={**mine, "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


GPUS = """
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
for _ in range(2):
    cluster.add_node(num_cpus=4, num_gpus=2)

def meet(shared, spec, aids):
    folder, together = shared
    Path(folder, str(spec.number)).touch()
    while len(list(Path(folder).iterdir())) < together:  # until so many run at a time
        time.sleep(0.05)
    node = ray.get_runtime_context().get_node_id()
    visible = os.environ["CUDA_VISIBLE_DEVICES"]
    found = (node, ray.get_gpu_ids(), visible, spec.conditions.device, spec.conditions.threads)
    return Outcome(spec.number, "complete", payload=found)

found = {}
for name, together, cpus, gpus in (
    ("whole", 4, 1, 1), ("half", 8, 1, 0.5), ("none", 2, 2, 0),
):
    folder = Path(sys.argv[1], name)
    folder.mkdir()
    told = []
    run_ray(
        meet, (str(folder), together), trials(together), told.append, concurrency=together,
        cpus_per_trial=cpus, gpus_per_trial=gpus, address=cluster.address,
    )
    found[name] = [outcome.payload for outcome in told]
tell_all(found)
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_two_nodes_with_two_gpus_each_trials_get_what_they_ask_for(tmp_path: Path) -> None:
    found = seen_by(GPUS, tmp_path, tmp_path)
    whole = Counter((node, *gpus) for node, gpus, *_ in found["whole"])
    assert len(whole) == 4 and set(whole.values()) == {1}
    half = Counter((node, *gpus) for node, gpus, *_ in found["half"])
    assert half.keys() == whole.keys() and set(half.values()) == {2}
    for _, gpus, visible, device, threads in found["whole"] + found["half"]:
        assert (visible, device, threads) == (str(gpus[0]), "cuda:0", 1)
    for _, gpus, visible, device, threads in found["none"]:
        assert (gpus, visible, device, threads) == ([], "", "cpu", 2)
    sys.stdout.write(f"\n1 GPU each: {len(whole)} GPUs used once; 0.5 each: {len(half)} twice\n")


NODE_KILLS = """
import random
count = {"kills": 0, "at work": 0, "slow starts": 0}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
# Now, for the driver takes any node of its host, and shall not be on one that is killed.
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
nodes = []
def add_node():
    for _ in range(3):  # Ray gives a node 30 s to start, on a busy machine too few
        try:
            return nodes.append(cluster.add_node(wait=False, num_cpus=2, num_gpus=2))
        except Exception:
            count["slow starts"] += 1
chance = random.Random(5)
moments = chance.sample(range(1, 26), 5)  # so many trials have ended then
for _ in range(3):
    add_node()
told = []

def work(folder, spec, aids):
    with open(Path(folder, str(spec.number)), "a") as file:
        file.write(ray.get_runtime_context().get_node_id() + "\\n")
    time.sleep(2.0)
    return Outcome(spec.number, "complete")

def on_event(name, what):
    if name == "finish" and len(told) in moments:
        ended = {str(outcome.number) for outcome in told}
        begun = [file for file in Path(sys.argv[1]).iterdir() if file.name not in ended]
        busy = {file.read_text().split()[-1] for file in begun}
        node = chance.choice([one for one in nodes if one.node_id in busy] or nodes)
        count["at work"] += node.node_id in busy
        nodes.remove(node)
        cluster.remove_node(node, allow_graceful=False)
        count["kills"] += 1
        add_node()

run_ray(
    work, sys.argv[1], trials(30), told.append, concurrency=3, gpus_per_trial=1, on_event=on_event,
)
places = [line for file in Path(sys.argv[1]).iterdir() for line in file.read_text().split()]
count |= {"attempts": len(places), "nodes": len(set(places))}
tell_all({**count, "told": [(outcome.number, outcome.status, outcome.reason) for outcome in told]})
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nodes_that_are_killed_cost_no_trial(tmp_path: Path) -> None:
    (tmp_path / "attempts").mkdir()
    found = seen_by(NODE_KILLS, tmp_path, tmp_path / "attempts")
    told = found.pop("told")
    sys.stdout.write(f"\n{len(told)} trials told, {found}\n")
    assert sorted(number for number, *_ in told) == list(range(30))
    assert {(status, reason) for _, status, reason in told} == {("complete", "")}
    assert found["kills"] == 5 and found["at work"] > 0 and found["attempts"] > 30


FAR_HOST = """
USERS_NETWORK = '''
from torch import nn
from my_parts import WIDTH

def make(num_classes, in_channels):
    layers = [nn.Conv2d(in_channels, WIDTH, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, num_classes))
'''
import subprocess
import slimtune
from slimtune.cli.main import main
folder, package = Path(sys.argv[1]), Path(slimtune.__file__).parent
here = dict(os.environ, HOME="/tmp")
del here["PYTHONPATH"]
asked = [sys.executable, "-c", "import slimtune; print(*slimtune.__path__)"]
installed = subprocess.run(asked, cwd="/", env=here, capture_output=True, text=True).stdout
hidden = [str(folder), str(package), *installed.split()]
mounts = "; ".join([
    # All of /tmp but the interpreter, where a clone of the repository is there.
    f"mount --bind {sys.prefix} /mnt; mount -t tmpfs none /tmp; mkdir -p {sys.prefix}",
    f"mount --bind /mnt {sys.prefix}",
    *(f"mkdir -p {path}; mount -t tmpfs none {path}" for path in hidden),
])
far = ["unshare", "-m", "-u", "sh", "-c", f'hostname reference; {mounts}; cd /tmp; exec "$@"', "-"]
control = [sys.executable, "-c", "import slimtune.search"]
missing = subprocess.run([*far, *control], env=here, capture_output=True, text=True).stderr

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=2"]
start += [f"--address={cluster.address}", '--resources={"latency": 1}', "--disable-usage-stats"]
log = open(folder / "node.log", "w")
node = subprocess.Popen([*far, *start], env=here, stdout=log, stderr=log)
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
while ray.cluster_resources().get("CPU", 0) < 2:
    assert node.poll() is None, (folder / "node.log").read_text()
    time.sleep(0.2)
ray.shutdown()

user = folder / "user"
user.mkdir()
(user / "my_parts.py").write_text("WIDTH = 24")
(user / "my_net.py").write_text(USERS_NETWORK)
run = folder / "run"
options = ["-q", "search", "--model", f"{user}/my_net.py:make", "--allow-code"]
options += ["--data", "digits", "--epochs", "0"]
options += ["--set", "baseline.epochs=1", "--set", "space.quantize.method=none"]
options += ["--set", "space.distill.method=none", "--trials", "3", "--out", str(run)]
output = sys.stdout
sys.stdout = sys.stderr
code = main([*options, "--ray-address", cluster.address])
sys.stdout = output

def look(shared, spec, aids):
    import slimtune
    found = [slimtune.__file__, os.uname().nodename]
    there = [str(path) for path in shared if path.exists() and list(path.iterdir())]
    return Outcome(spec.number, "complete", payload=[*found, there])

told = []
run_ray(
    look, [run, package, user], trials(1), told.append, concurrency=1, address=cluster.address
)
node.terminate()
node.wait()
cluster.shutdown()
tell_all({"code": code, "missing": missing, "look": told[0].payload or told[0].reason})
"""


def can_hide_folders() -> bool:
    script = "mount -t tmpfs none /mnt && hostname reference"
    return subprocess.run(["unshare", "-m", "-u", "sh", "-c", script]).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not can_hide_folders(), reason="needs the right to mount in a namespace")
def test_a_host_without_our_code_the_users_or_the_run_folder_does_the_work(
    tmp_path: Path,
) -> None:
    """A node in a mount namespace of its own, where all of these are hidden, and measuring."""
    found = seen_by(FAR_HOST, tmp_path, tmp_path)
    assert "No module named 'slimtune.search'" in found["missing"]
    assert found["code"] == 0
    records = open_run(tmp_path / "run").records
    assert [record.status for record in records] == ["complete"] * 3
    assert {record.metrics["latency_host"] for record in records} == {"reference"}
    package, host, there = found["look"]
    assert (host, there) == ("reference", []) and "runtime_resources" in package
