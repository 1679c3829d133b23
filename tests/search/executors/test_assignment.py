import os
import sys
from pathlib import Path

import ray
from ray import cloudpickle

from slimtune.conditions import Conditions
from slimtune.search.executors.assignment import with_assigned_resources
from slimtune.search.executors.ray_session import ray_session
from slimtune.search.trial.spec import TrialSpec

ROOT = Path(__file__).parents[3]


class Worker:
    """Looks at itself before and after; with declared GPUs, see tests/faults/test_cluster.py."""

    def look(self):
        planned = TrialSpec(0, {}, Conditions(seed=3, threads=8, device="cuda:0"))
        return with_assigned_resources(planned), os.environ["CUDA_VISIBLE_DEVICES"]


def test_without_a_gpu_a_worker_sees_none_and_has_the_threads_it_was_given(monkeypatch):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with ray_session(None, concurrency=1, cpus=2, gpus=0, shared_bytes=0):
        worker = ray.remote(Worker).options(num_cpus=2).remote()
        spec, visible = ray.get(worker.look.remote())
    assert spec == TrialSpec(0, {}, Conditions(seed=3, threads=2, device="cpu"))
    assert visible == ""
