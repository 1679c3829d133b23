import time

import ray

from slimtune.search.executors.ray_session import ray_session
from slimtune.search.executors.stage_news import StageNews
from slimtune.search.trial.attempt import AtStage


@ray.remote(num_cpus=0)
class Mailbox:
    def __init__(self) -> None:
        self._stages: dict[int, str] = {}

    def stage(self, number: int, stage: str) -> None:
        self._stages[number] = stage

    def stages(self) -> dict[int, str]:
        return self._stages


def test_each_new_stage_is_told_once_and_a_dead_mailbox_is_no_trouble() -> None:
    heard: list[AtStage] = []

    def until(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(heard) < count and time.monotonic() < deadline:
            time.sleep(0.05)

    with ray_session(None, concurrency=1, cpus=1, gpus=0, shared_bytes=0):
        mailbox = Mailbox.remote()
        with StageNews(mailbox, heard.append, every=0.05):
            ray.get(mailbox.stage.remote(3, "prune"))
            until(1)
            ray.get(mailbox.stage.remote(3, "fine-tune"))
            until(2)
            ray.kill(mailbox)
            time.sleep(0.3)
    assert heard == [AtStage(3, "prune"), AtStage(3, "fine-tune")]
