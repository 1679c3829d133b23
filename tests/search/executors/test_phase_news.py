import time

import ray

from slimtune.search.executors.phase_news import PhaseNews
from slimtune.search.executors.ray_session import ray_session
from slimtune.search.trial.attempt import AtPhase


@ray.remote(num_cpus=0)
class Mailbox:
    def __init__(self) -> None:
        self._phases: dict[int, str] = {}

    def enter_phase(self, number: int, phase: str) -> None:
        self._phases[number] = phase

    def phases(self) -> dict[int, str]:
        return self._phases


def test_each_new_stage_is_told_once_and_a_dead_mailbox_is_no_trouble() -> None:
    heard: list[AtPhase] = []

    def until(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(heard) < count and time.monotonic() < deadline:
            time.sleep(0.05)

    with ray_session(None, concurrency=1, cpus=1, gpus=0, shared_bytes=0):
        mailbox = Mailbox.remote()
        with PhaseNews(mailbox, heard.append, every=0.05):
            ray.get(mailbox.enter_phase.remote(3, "prune"))
            until(1)
            ray.get(mailbox.enter_phase.remote(3, "fine-tune"))
            until(2)
            ray.kill(mailbox)
            time.sleep(0.3)
    assert heard == [AtPhase(3, "prune"), AtPhase(3, "fine-tune")]
