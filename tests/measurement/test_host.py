import importlib.metadata
import json
import os

import torch

from slimtune.measurement.host import describe_host


def test_the_host_names_processor_cores_and_versions() -> None:
    host = describe_host()
    assert host["cpu"]
    assert host["name"] == os.uname().nodename  # as the latency's host is named
    assert isinstance(host["cores"], int) and 1 <= host["cores"] <= (os.cpu_count() or 1)
    assert host["torch"] == importlib.metadata.version("torch")
    assert str(torch.__version__).startswith(str(host["torch"]).split("+")[0])
    assert {"platform", "python", "onnxruntime", "ray", "optuna", "numpy", "slimtune"} <= set(host)


def test_the_host_is_plain_json() -> None:
    assert json.loads(json.dumps(describe_host())) == describe_host()
