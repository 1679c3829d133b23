"""Calls a function that the user wrote, with those arguments that its signature takes."""

import inspect
from typing import Any

from slimtune.errors import UserError
from slimtune.workload.own_code import called, load_code


def call_factory(reference: str, kind: type[UserError], **offered: Any) -> Any:
    """Load a function or class and call it.

    It is called by keyword, with those of ``offered`` that its signature names; one with
    ``**kwargs`` gets them all.

    Args:
        reference: ``FILE.py:NAME`` or ``MODULE:NAME``.
        kind: of the error when it cannot be loaded or called.
        **offered: arguments by name.

    Raises:
        ConfigError: nobody allowed to run this code.
        UserError: of ``kind``: it cannot be loaded, wants other arguments, or fails.
    """
    factory, name = load_code(reference, kind), called(reference)
    if not callable(factory):
        raise kind(f"{name} is {type(factory).__name__}, expected a function or a class")
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # built in
        parameters = ()  # type: ignore[assignment]
    everything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    arguments = {key: value for key, value in offered.items() if everything or key in names}
    required = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if missing := [each for each in required if each not in arguments]:
        can = ", ".join(offered) or "none"
        raise kind(
            f"{name} needs the argument '{missing[0]}', which slimtune does not give "
            f"(it gives, by name: {can}); give it a default, or set it by functools.partial"
        )
    try:
        return factory(**arguments)
    except (Exception, SystemExit) as error:  # the user's own
        words = (str(error).splitlines() or [""])[0]
        raise kind(f"{name} raised {type(error).__name__}: {words}") from error
