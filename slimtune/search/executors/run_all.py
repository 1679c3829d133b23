"""Runs all trials of a search on the executor that its config names."""

from collections.abc import Callable
from typing import Any

from slimtune.search.executors.inline import InlineExecutor
from slimtune.search.executors.machines import workers
from slimtune.search.executors.ray_tune import RayExecutor
from slimtune.search.executors.second_chance import SecondChance
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Work
from slimtune.search.trial.driver import Driver, Executor


def run_all(
    config: SearchConfig,
    work: Work,
    shared: Any,
    driver: Driver,
    *,
    warn: Callable[[str], None],
) -> None:
    """Run every trial that a driver supplies; a trial that ran out of memory runs twice.

    The second attempts begin when all other trials have ended. They run one at a time, with the
    whole GPU if they use one. The driver is not told of a first attempt without memory.

    Args:
        config: of the search, within whose `machines` this is called.
        work: the body of a trial.
        shared: handed to ``work``.
        driver: asked until it returns no more trials; once it is `Driver.stopping`, no second
            attempt begins.
        warn: called for each trial that will run again.

    Raises:
        SlimtuneError: as `RayExecutor.run`.
        KeyboardInterrupt: as `RayExecutor.run`.
    """
    later = SecondChance(driver, warn)
    executor_of(config).run(work, shared, later)
    if later.has_waiting():
        later.start_second_attempts()
        executor_of(config, alone=True).run(work, shared, later)


def executor_of(config: SearchConfig, alone: bool = False) -> Executor:
    """Return the executor that a config names.

    Args:
        config: of the search, within whose `machines` this is called.
        alone: whether each trial gets the machine to itself.
    """
    resources = config.per_trial
    if config.executor == "inline":
        return InlineExecutor(resources.timeout_seconds)
    whole = 1.0 if resources.gpus else 0.0
    return RayExecutor(
        concurrency=1 if alone else workers(config),
        cpus_per_trial=resources.cpus,
        gpus_per_trial=whole if alone else resources.gpus,
        address=config.ray_address,
        timeout=resources.timeout_seconds,
    )
