import pytest

from slimtune.errors import ConfigError
from slimtune.search.settings.config import make_config
from slimtune.search.settings.stage_room import room_in_bytes


@pytest.mark.parametrize(
    ("given", "room"), [("1GiB", 2**30), ("500 MB", 500 * 10**6), (0, 0), ("0", 0)]
)
def test_the_room_is_a_size_or_nothing(given, room):
    assert room_in_bytes(make_config({"stage_store": given}).stage_store) == room


@pytest.mark.parametrize("given", ["much", 5, "-1GiB", True, [1], 0.5])
def test_anything_else_is_refused_with_an_example(given):
    with pytest.raises(ConfigError, match="stage_store: must be a size such as 1GiB, or 0, but"):
        make_config({"stage_store": given})
