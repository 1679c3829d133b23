import threading

import pytest
import torch

from slimtune.compression.stages import Train
from slimtune.compression.training.loop import Teaching, network_logits, train_network
from slimtune.compression.training.pauses import between_batches, pausing
from slimtune.workload.types import Workload


def test_nothing_pauses_unless_it_is_asked_for() -> None:
    between_batches()


def test_a_pause_holds_within_its_block_and_thread() -> None:
    calls = []
    with pausing(lambda: calls.append("pause")):
        between_batches()
        thread = threading.Thread(target=between_batches)
        thread.start()
        thread.join()
    between_batches()
    assert calls == ["pause"]


def test_an_error_ends_the_block() -> None:
    calls = []
    with pytest.raises(ValueError), pausing(lambda: calls.append("pause")):
        raise ValueError
    between_batches()
    assert calls == []


def test_training_pauses_after_each_batch_and_comes_out_the_same(digits: Workload) -> None:
    def trained() -> torch.Tensor:
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        torch.nn.init.zeros_(model[1].weight)
        train_network(
            model,
            digits,
            Train(epochs=1, batch_size=64),
            Teaching(),
            generator=torch.Generator().manual_seed(0),
        )
        return network_logits(model, digits.test.images, digits)

    calls = []
    torch.manual_seed(0)
    without = trained()
    torch.manual_seed(0)
    with pausing(lambda: calls.append("pause")):
        assert torch.equal(trained(), without)
    assert len(calls) >= len(digits.train) // 64
