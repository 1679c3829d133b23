"""The resources that Ray assigned to a trial's process, which may see more than these."""

import os

import ray

from slimtune.search.trial.spec import TrialSpec


def with_assigned_resources(spec: TrialSpec) -> TrialSpec:
    """Return the spec with the threads and the device that Ray assigned to this worker.

    An assigned GPU is always ``cuda:0``, because Ray hides the others. From a worker without a
    GPU Ray hides none, so this function does, before torch looks for them.

    Args:
        spec: of a trial, as the driver planned it.
    """
    assigned = ray.get_runtime_context().get_assigned_resources()
    gpus = ray.get_gpu_ids()
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    threads = max(1, int(assigned.get("CPU", spec.conditions.threads)))
    return spec.moved("cuda:0" if gpus else "cpu", threads)
