"""All trials of a search, by the executor that its config names."""

from collections.abc import Callable
from typing import Any

from slimtune.search.executors.inline import run_inline
from slimtune.search.executors.machines import workers
from slimtune.search.executors.ray_tune import run_ray
from slimtune.search.executors.second_chance import Called, SecondChance, trial_words
from slimtune.search.settings.config import SearchConfig
from slimtune.search.trial.attempt import Aids, OnEvent, Work
from slimtune.search.trial.spec import Outcome, TrialSpec

Ask = Callable[[], TrialSpec | None]
Tell = Callable[[Outcome], None]


def run_all(
    config: SearchConfig,
    work: Work,
    shared: Any,
    ask: Ask,
    tell: Tell,
    *,
    aids: Aids,
    on_event: OnEvent,
    warn: Callable[[str], None],
    go_on: Callable[[], bool],
    called: Called = trial_words,
) -> None:
    """Run every trial that ``ask`` hands out; those that ran out of memory twice, if need be.

    Their second attempt begins when all others have ended: one at a time, with the whole GPU if
    they use one. The first is not told.

    Args:
        config: of the search, within whose `machines` this is called.
        work: the body of a trial.
        shared: handed to ``work``.
        ask: the next trial, or None when there are no more.
        tell: receives one outcome for each.
        aids: lent to every trial, but for the latency lane, which is Ray's.
        on_event: see `run_inline`.
        warn: told of each trial that will run again.
        go_on: whether second attempts shall begin: not after Ctrl-C.
        called: what a trial of this number is called where users are told of it.

    Raises:
        SlimtuneError: as `run_ray`.
        KeyboardInterrupt: as `run_ray`.
    """
    later = SecondChance(tell, on_event, warn, called)
    _run(config, work, shared, ask, later, aids, workers(config), config.per_trial.gpus)
    if later.waits():

        def ask_again() -> TrialSpec | None:
            return later.ask() if go_on() else None

        gpus = 1.0 if config.per_trial.gpus else 0.0
        _run(config, work, shared, ask_again, later, aids, 1, gpus)


def _run(
    config: SearchConfig,
    work: Work,
    shared: Any,
    ask: Ask,
    later: SecondChance,
    aids: Aids,
    concurrency: int,
    gpus: float,
) -> None:
    timeout = config.per_trial.timeout_seconds
    if config.executor == "inline":
        run_inline(
            work, shared, ask, later.tell, aids=aids, timeout=timeout, on_event=later.on_event
        )
        return
    run_ray(
        work,
        shared,
        ask,
        later.tell,
        concurrency=concurrency,
        cpus_per_trial=config.per_trial.cpus,
        gpus_per_trial=gpus,
        address=config.ray_address,
        timeout=timeout,
        on_event=later.on_event,
        judge=aids.judge,
        fetch_stage=aids.fetch_stage,
    )
