from pathlib import Path

import pytest
import torch

from slimtune.errors import ConfigError, ModelError
from slimtune.workload.own_code import allow_all_code
from slimtune.workload.types import Architecture
from slimtune.workload.zoo.build import build
from slimtune.workload.zoo.own_model import own_model


def test_a_network_of_the_users_own_is_built_for_the_data(own_net: Path) -> None:
    allow_all_code()
    for name in ("make", "Net"):
        network = build(Architecture(f"{own_net}:{name}", 3, 1))
        assert network(torch.zeros(2, 1, 48, 40)).shape == (2, 3)
        assert network.training


def test_it_needs_consent(own_net: Path) -> None:
    with pytest.raises(ConfigError, match="needs --allow-code"):
        build(Architecture(f"{own_net}:make", 3, 1))


def test_a_network_that_cannot_be_copied_is_refused(own_net: Path) -> None:
    own_net.write_text(
        own_net.read_text()
        + """

import threading

def locked(num_classes):
    network = Net(num_classes)
    network.lock = threading.Lock()
    return network
"""
    )
    allow_all_code()
    with pytest.raises(ModelError, match="cannot be copied: TypeError: cannot pickle"):
        own_model(f"{own_net}:locked", 3, 1)


def test_something_else_than_a_network_is_refused(own_net: Path) -> None:
    allow_all_code()
    with pytest.raises(ModelError, match="returned dict, expected nn.Module"):
        own_model(f"{own_net}:wrong", 3, 1)
