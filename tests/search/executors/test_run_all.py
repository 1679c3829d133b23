from pathlib import Path

import pytest
import torch

from slimtune.conditions import Conditions
from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.executors.run_all import executor_of, run_all
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.per_trial import PerTrialSettings
from slimtune.search.trial.driver import SpecList
from slimtune.search.trial.spec import Outcome, TrialSpec
from tests.search.recording import Recording

ROOT = Path(__file__).parents[3]


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


class Search(Recording):
    """A search of five trials, run at once."""

    def __init__(self, folder, executor):
        super().__init__(TrialSpec(n, {}, Conditions(0)) for n in range(5))
        self.warnings = []
        config = SearchConfig(
            executor=executor, concurrency=2, per_trial=PerTrialSettings(timeout="10m")
        )
        run_all(config, hungry, str(folder), self, warn=self.warnings.append)
        self.told = {outcome.number: outcome for outcome in self.outcomes}


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_what_ran_out_of_memory_runs_once_more_at_the_end_and_alone(request, tmp_path, executor):
    if executor == "ray":
        request.getfixturevalue("session")
    search = Search(tmp_path, executor)
    tells = [number for name, number in search.log if name == "tell"]
    # Side by side, either of the two may be the first to run out of memory.
    assert sorted(tells[:3]) == [0, 3, 4] and sorted(tells[3:]) == [1, 2]
    assert search.told[1].status == "complete"
    assert search.told[1].payload == ([], 5)
    assert search.told[2].status == "failed"
    assert search.told[2].reason == (
        "out of memory twice, the second time alone: OutOfMemoryError: CUDA out of memory. "
        "Tried to allocate 2 GiB"
    )
    texts = sorted(search.warnings)
    assert len(texts) == 2 and "trial 1 runs again at the end" in texts[0]
    assert [name for name, number in search.log if number == 1] == [
        "ask", "start", "start", "tell", "finish",
    ]  # fmt: skip


class Stopped(SpecList):
    stopping = True


def test_after_ctrl_c_no_second_attempt_begins(tmp_path):
    driver = Stopped([TrialSpec(2, {}, Conditions(0))])
    config = SearchConfig(executor="inline")
    run_all(config, hungry, str(tmp_path), driver, warn=lambda text: None)
    assert driver.outcomes == []


def test_the_config_names_the_executor_and_a_second_attempt_has_the_whole_gpu():
    asked = PerTrialSettings(timeout="10m", cpus=2, gpus=0.25)
    config = SearchConfig(executor="ray", concurrency=1, per_trial=asked)
    first, second = executor_of(config), executor_of(config, alone=True)
    assert first == RayExecutor(1, 2, 0.25, None, 600.0)
    assert second == RayExecutor(1, 2, 1.0, None, 600.0)
    inline = config.model_copy(update={"executor": "inline"})
    assert executor_of(inline) == executor_of(inline, alone=True) == InlineExecutor(600.0)
