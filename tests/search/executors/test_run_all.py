import sys
from pathlib import Path

import pytest
import torch
from ray import cloudpickle

from slimtune.conditions import Conditions
from slimtune.search.executors.ray_session import ray_session
from slimtune.search.executors.run_all import run_all
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.per_trial import PerTrialSettings
from slimtune.search.trial.attempt import Aids
from slimtune.search.trial.spec import Outcome, TrialSpec

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def session():
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with ray_session(None, concurrency=2, cpus=1, gpus=0, shared_bytes=0):
            yield


def hungry(folder, spec, aids):
    """Trial 1 needs the memory of two; trial 2 would never have enough."""
    folder = Path(folder)
    first = not (folder / f"tried-{spec.number}").exists()
    (folder / f"tried-{spec.number}").touch()
    others = [path.name for path in folder.glob("running-*")]
    running = folder / f"running-{spec.number}"
    running.touch()
    try:
        if spec.number == 2 or (spec.number == 1 and first):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return Outcome(
            spec.number, "complete", payload=(others, len(list(folder.glob("tried-*"))))
        )
    finally:
        running.unlink()


class Search:
    """A scripted ask, and a tell that writes down the order of everything."""

    def __init__(self, folder, executor):
        self.specs = [TrialSpec(n, {}, Conditions(0)) for n in range(5)]
        self.log, self.told, self.warnings = [], {}, []
        config = SearchConfig(
            executor=executor, concurrency=2, per_trial=PerTrialSettings(timeout="10m")
        )
        run_all(
            config,
            hungry,
            str(folder),
            lambda: self.specs.pop(0) if self.specs else None,
            self.tell,
            aids=Aids(),
            on_event=lambda name, what: self.log.append((name, what.number)),
            warn=self.warnings.append,
            go_on=lambda: True,
        )

    def tell(self, outcome):
        self.log.append(("tell", outcome.number))
        self.told[outcome.number] = outcome


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_what_ran_out_of_memory_runs_once_more_at_the_end_and_alone(request, tmp_path, executor):
    if executor == "ray":
        request.getfixturevalue("session")
    search = Search(tmp_path, executor)
    tells = [number for name, number in search.log if name == "tell"]
    assert sorted(tells[:3]) == [0, 3, 4] and tells[3:] == [1, 2]
    assert search.told[1].status == "complete"
    assert search.told[1].payload == ([], 5)
    assert search.told[2].status == "failed"
    assert search.told[2].reason == (
        "out of memory twice, the second time alone: OutOfMemoryError: CUDA out of memory. "
        "Tried to allocate 2 GiB"
    )
    assert len(search.warnings) == 2 and "trial 1 runs again at the end" in search.warnings[0]
    assert [name for name, number in search.log if number == 1] == [
        "start", "start", "tell", "finish",
    ]  # fmt: skip


def test_after_ctrl_c_no_second_attempt_begins(tmp_path):
    specs = [TrialSpec(2, {}, Conditions(0)), None]
    told = []
    run_all(
        SearchConfig(executor="inline"),
        hungry,
        str(tmp_path),
        lambda: specs.pop(0),
        told.append,
        aids=Aids(),
        on_event=lambda name, what: None,
        warn=lambda text: None,
        go_on=lambda: False,
    )
    assert told == []
