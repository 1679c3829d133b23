"""The examples run as their readers would run them, only shorter."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def python(folder: Path, *words: object) -> str:
    """Run Python in a folder and return what it printed."""
    path = os.pathsep.join([str(ROOT), str(EXAMPLES)])
    made = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-4000:]
    return made.stdout


@pytest.mark.slow
def test_add_a_quantizer_searches_with_it(tmp_path: Path) -> None:
    words = ["--out", tmp_path / "run", "--trials", 4, "--epochs", 2]
    printed = python(tmp_path, EXAMPLES / "add_a_quantizer.py", *words)
    recipes = [file.read_text() for file in tmp_path.glob("run/trials/*/spec.json")]
    assert any('"power_of_two"' in recipe for recipe in recipes)
    assert (tmp_path / "run-knee" / "model.onnx").is_file() and "run-knee" in printed


@pytest.mark.slow
def test_the_added_quantizer_passes_the_conformance_tests() -> None:
    tests = "tests/compression/test_conformance.py"
    words = ["-m", "pytest", "-q", "-p", "add_a_quantizer", tests, "-k", "power_of_two"]
    assert "passed" in python(ROOT, *words)


@pytest.mark.slow
def test_own_model_comes_back_as_a_torch_module(tmp_path: Path) -> None:
    words = ["--out", tmp_path / "run", "--trials", 3, "--executor", "inline"]
    printed = python(tmp_path, EXAMPLES / "own_model.py", *words)
    assert "parameters" in printed.splitlines()[-1]


@pytest.mark.slow
def test_the_quickstart_runs_from_the_first_cell_to_the_last(tmp_path: Path) -> None:
    text = (EXAMPLES / "quickstart.py").read_text()
    assert (long := "trials=40") in text
    short = 'trials=3, executor="inline", baseline={"epochs": 2}'
    (tmp_path / "quickstart.py").write_text(text.replace(long, short))
    assert "parameters" in python(tmp_path, tmp_path / "quickstart.py")


def test_ray_accepts_the_cluster() -> None:
    config = yaml.safe_load((EXAMPLES / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "latency": 1}


def test_no_cluster_is_open_to_strangers() -> None:
    cluster = (EXAMPLES / "cluster.yaml").read_text()
    assert "RAY_AUTH_MODE=token" in cluster and "--include-dashboard=false" in cluster
    ray, _, policy = yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text())
    groups = [ray["spec"]["headGroupSpec"], *ray["spec"]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        given: dict[str, Any] = {each["name"]: each for each in container["env"]}
        assert given["RAY_AUTH_MODE"]["value"] == "token"
        assert "valueFrom" in given["RAY_AUTH_TOKEN"]
    assert ray["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert policy["spec"]["podSelector"] == policy["spec"]["ingress"][0]["from"][0]["podSelector"]


def test_the_clusters_have_the_ray_of_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    version = next(line for line in lock.splitlines() if line.startswith("ray==")).split()[0]
    number = version.removeprefix("ray==").split("[")[0]
    for name in ("cluster.yaml", "kuberay.yaml", "Dockerfile"):
        assert number in (EXAMPLES / name).read_text(), name


def test_the_reference_host_is_declared_as_ray_reads_it() -> None:
    ray = next(yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text()))
    words = ray["spec"]["headGroupSpec"]["rayStartParams"]["resources"]
    # KubeRay puts the words into a shell command as they are; the quotes are the shell's.
    assert yaml.safe_load(words) == '{"latency": 1}'
