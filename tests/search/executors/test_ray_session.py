import logging
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._private.utils import check_version_info

from slimtune.errors import ConfigError
from slimtune.search.executors.ray_session import (
    SETTINGS,
    _cause,
    _kept,
    check_fits,
    fitting,
    keep_ray,
    ray_session,
)
from slimtune.search.listeners.last_words import WORDS

ROOT = Path(__file__).parents[3]


def one_cpu(address=None, **options):
    asked = {"concurrency": 1, "cpus": 1, "gpus": 0, "shared_bytes": 0, **options}
    return ray_session(address, **asked)


def surroundings():
    """Return what a session may change and must put back."""
    loggers = {name: logging.getLogger(name).level for name in ("ray", "ray.tune")}
    return {"environment": dict(os.environ), "loggers": loggers, "running": ray.is_initialized()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a session is like before, inside and after; started once for the file."""
    home = tmp_path_factory.mktemp("home")
    seen = {"home": home}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        seen["before"] = surroundings()
        with one_cpu(concurrency=3, shared_bytes=2**29):
            seen["folder"] = _kept.folder.path
            seen["mode of it"] = stat.S_IMODE(_kept.folder.path.stat().st_mode)
            seen["sessions"] = [path.name for path in _kept.folder.inside.glob("session_2*")]
            seen["resources"] = ray.cluster_resources()
            seen["mode"] = os.environ["RAY_AUTH_MODE"]
            seen["answer"] = ray.get(ray.put(3))
            seen["nice"] = ray.get(ray.remote(lambda: os.nice(0)).remote())
            seen["inside"] = surroundings()
            with one_cpu():
                pass
            seen["after a second within"] = surroundings()
            with pytest.raises(ConfigError) as seen["refused"], one_cpu(cpus=64):
                pass
            with pytest.raises(ConfigError) as seen["refused gpu"], one_cpu(gpus=64):
                pass
        seen["after"] = surroundings()
    return seen


def test_it_has_the_asked_cpus_and_room_for_what_is_shared(seen):
    assert seen["resources"]["CPU"] == 3
    assert seen["resources"]["object_store_memory"] == 2**30
    assert seen["answer"] == 3


def test_it_is_protected_by_a_token_and_writes_nothing_at_home(seen):
    assert seen["mode"] == "token"
    assert list(seen["home"].iterdir()) == []


def test_its_sockets_and_logs_are_private_and_go_with_it(seen):
    assert seen["mode of it"] == 0o700 and len(seen["sessions"]) == 1
    assert not seen["folder"].exists()


def test_it_leaves_the_process_as_it_was(seen):
    assert seen["after"] == seen["before"]
    assert seen["inside"] != seen["before"]


def test_ray_that_runs_already_is_used_and_left_running(seen):
    assert seen["after a second within"] == seen["inside"]
    assert seen["inside"]["running"]
    assert SETTINGS.items() <= seen["inside"]["environment"].items()


def test_trials_are_as_important_to_the_machine_as_the_driver(seen):
    assert seen["nice"] == os.nice(0)


def test_more_than_there_is_is_refused_and_not_waited_for(seen):
    assert "asks for 64 CPU, but Ray has 3" in str(seen["refused"].value)
    assert "asks for 64 GPU, but Ray has" in str(seen["refused gpu"].value)


def test_an_address_where_nothing_listens_is_refused_in_one_line_within_seconds():
    script = (
        "from slimtune.search.executors.ray_session import ray_session\n"
        "sizes = dict(concurrency=1, cpus=1, gpus=0, shared_bytes=0)\n"
        "with ray_session('127.0.0.1:1', **sizes): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("slimtune.errors.ConfigError: ray_address: cannot reach Ray at ")
    assert "refused" in last and "`ray start --head`" in last


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "trials"),
    [
        ([(4, 0)], 1, 0, 4),
        ([(4, 0), (2, 0)], 3, 0, 1),
        ([(4, 2), (4, 2)], 1, 1, 4),
        ([(4, 2), (4, 2)], 1, 0.5, 8),
        ([(4, 2)], 1, 0.3, 4),
        ([(9, 1)], 1, 0.3, 3),
        ([(2, 0), (0, 2)], 1, 1, 0),
        ([], 1, 0, 0),
    ],
)
def test_trials_fit_on_one_node_and_one_gpu_each(nodes, cpus, gpus, trials):
    assert fitting([{"CPU": cpu, "GPU": gpu} for cpu, gpu in nodes], cpus, gpus) == trials


def test_what_fits_on_no_single_node_is_refused():
    nodes = [{"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}]
    check_fits(nodes, 2, 1, "Ray")
    with pytest.raises(ConfigError, match="asks for 5 CPU, but Ray has 4 in all; ask for less"):
        check_fits(nodes, 5, 0, "Ray")
    with pytest.raises(ConfigError, match="3 CPU and 0 GPU on one node, but the nodes have 2 CPU"):
        check_fits(nodes, 3, 0, "Ray")


def test_a_cluster_of_another_version_is_told_in_one_line():
    other = {"ray_version": "2.55.0", "python_version": "3.9.1"}
    with pytest.raises(RuntimeError) as caught:
        check_version_info(other, "here")
    words = _cause(caught.value)
    assert words.startswith("the cluster runs Ray 2.55.0 Python 3.9.1, this host Ray ")
    assert words.endswith("; install the same versions") and "\n" not in words


def test_a_ray_that_stays_is_used_again_and_ended_with_everything_put_back():
    before, jobs, inside = surroundings(), [], []
    with keep_ray():
        for _ in range(2):
            with one_cpu():
                jobs.append(ray.get_runtime_context().get_job_id())
                inside.append((ray.get(ray.put(4)), os.environ.get("RAY_AUTH_MODE")))
            assert ray.is_initialized()
        with keep_ray():
            pass
        assert ray.is_initialized()
    assert jobs[0] == jobs[1] and inside[0] == inside[1]
    assert surroundings() == before


def test_a_process_that_dies_with_its_ray_says_what_to_do():
    """As when `ray stop` ends every Ray of the host: Ray's own code ends the driver at once."""
    script = (
        "import os, signal\n"
        "from slimtune.search.executors.ray_session import ray_session\n"
        "sizes = dict(concurrency=1, cpus=1, gpus=0, shared_bytes=0)\n"
        "with ray_session(None, **sizes): pass\n"
        "with ray_session(None, **sizes): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stderr.count(WORDS) == 1


def test_where_no_ray_was_started_nothing_stays():
    with keep_ray():
        pass
    assert not ray.is_initialized()
