"""What the tests of checkpoints share: a network, its files, and what a refusal says."""

import pytest
import torch

from slimtune.errors import ModelError
from slimtune.workload.checkpoints import load_weights
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build


def network(num_classes=10, in_channels=1, seed=0):
    torch.manual_seed(seed)
    model = build(Architecture("resnet8", num_classes, in_channels))
    model(torch.rand(4, in_channels, 8, 8))  # moves the running statistics away from 0 and 1
    return model.eval()


def same(first, second):
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refusal(path, model=None):
    """The one-line message, after checking that the model was left alone."""
    model = model or network()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_weights(model, path)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    message = str(caught.value)
    assert str(path) in message
    if "contains a pickled object" not in message:  # which comes with two lines to run
        assert "\n" not in message
        assert "weights_only" not in message  # torch advises to switch the protection off
    return message


def saved(content, path):
    torch.save(content, path)
    return path
