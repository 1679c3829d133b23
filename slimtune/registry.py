"""Registries: classes and functions by name. slimtune has no other look-up.

>>> METHODS = Registry("pruning method")
>>> @METHODS.register("l1")
... class L1: ...
>>> METHODS["l1"] is L1, METHODS.name_of(L1()), METHODS.names()
(True, 'l1', ('l1',))
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from slimtune.errors import UnknownNameError, did_you_mean, shortened

Entry = TypeVar("Entry")
Registered = TypeVar("Registered")


class Registry(Generic[Entry]):
    """An ordered map from a name to a class or function, filled by a decorator.

    Args:
        kind: the word for one entry in error messages, such as ``"pruning method"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Return a decorator that files its class or function under ``name``.

        Raises:
            ValueError: the name is taken.
        """

        def file(entry: Registered) -> Registered:
            if name in self._entries:
                raise ValueError(f"A {self.kind} named '{name}' is registered already.")
            self._entries[name] = entry  # type: ignore[assignment]
            return entry

        return file

    def __getitem__(self, name: str) -> Entry:
        """Return the entry called ``name``.

        Raises:
            UnknownNameError: no entry has this name; the message suggests the nearest.
        """
        if isinstance(name, str) and name in self._entries:
            return self._entries[name]
        guess = did_you_mean(str(name), self._entries)
        known = ", ".join(self._entries)
        raise UnknownNameError(f"unknown {self.kind} {shortened(name)}.{guess} Known: {known}.")

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def names(self) -> tuple[str, ...]:
        """Return the names in the order of registration."""
        return tuple(self._entries)

    def name_of(self, entry: object) -> str:
        """Return the name under which ``entry``, or its class, is registered.

        Raises:
            KeyError: it is not registered here.
        """
        for name, known in self._entries.items():
            if known is entry or known is type(entry):
                return name
        raise KeyError(f"{entry!r} is not a registered {self.kind}.")
