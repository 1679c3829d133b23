import pytest

from slimtune.errors import UnknownNameError
from slimtune.registry import Registry


def make() -> Registry[type]:
    registry: Registry[type] = Registry("animal")
    registry.register("cat")(int)
    registry.register("dog")(str)
    return registry


def test_a_name_finds_its_class_and_a_class_or_object_its_name() -> None:
    registry = make()
    assert registry["cat"] is int
    assert registry.name_of(str) == registry.name_of("any string") == "dog"


def test_names_come_in_the_order_of_registration() -> None:
    assert make().names() == tuple(make()) == ("cat", "dog")


def test_an_unknown_name_is_refused_with_the_nearest_and_all_known() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown animal 'catt'. Did you mean 'cat'.*cat, dog"
    ):
        make()["catt"]


@pytest.mark.parametrize("name", [None, 3, ["cat"]])
def test_a_name_that_is_no_text_is_unknown(name: object) -> None:
    with pytest.raises(UnknownNameError):
        make()[name]  # type: ignore[index]


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="registered already"):
        make().register("cat")(float)


def test_what_is_not_registered_has_no_name() -> None:
    with pytest.raises(KeyError):
        make().name_of(1.5)
