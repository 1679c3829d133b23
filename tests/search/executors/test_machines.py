import os

import pytest

from slimtune.errors import ConfigError, SlimtuneError
from slimtune.search.executors.machines import machines, workers
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.per_trial import PerTrialSettings

CORES = len(os.sched_getaffinity(0))


def config(cpus=1, gpus=0.0, timeout=None, **settings):
    per_trial = PerTrialSettings(cpus=cpus, gpus=gpus, timeout=timeout)
    return SearchConfig(per_trial=per_trial, **settings)


def test_as_many_trials_run_as_fit_on_this_host():
    assert workers(config()) == workers(config(concurrency=10_000)) == CORES
    assert workers(config(concurrency=1)) == 1
    assert workers(config(cpus=CORES)) == 1
    assert workers(config(concurrency=4, executor="inline")) == 1


@pytest.mark.parametrize("executor", ["inline", "ray"])
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"cpus": 4096}, f"a trial asks for 4096 CPU, but this host has {CORES} in all; ask"),
        ({"gpus": 0.5}, "a trial asks for 0.5 GPU, but this host has 0 in all; ask for less with"),
    ],
)
def test_a_trial_that_does_not_fit_is_refused_at_once(monkeypatch, executor, asked, message):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match=message), machines(config(executor=executor, **asked)):
        pass


def test_a_search_that_fits_may_begin():
    for executor in ("inline", "ray"):
        with machines(config(timeout="1m", executor=executor)):
            pass


def test_a_cluster_that_is_not_there_is_said_at_once():
    elsewhere = config(ray_address="127.0.0.1:1")
    with pytest.raises(SlimtuneError, match="cannot reach Ray at 127.0.0.1:1"):
        with machines(elsewhere):
            pass
