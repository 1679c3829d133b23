"""Why a trial was stopped, in words; also for records in the words of version 1.

A record's reason is ``WHEN: WHY``, such as ``after epoch 1 of 4 (fine-tune): 4 of 5 comparable
trials were better``.
"""

import re
from typing import Literal

from slimtune.results.limit_words import limit_amount
from slimtune.results.objectives import OBJECTIVES

Kind = Literal["limit", "hopeless", "behind", "other"]

_BEFORE = "before training"
_STEP = re.compile(r"(?P<stage>.+?)(?: (?P<epoch>[0-9]+)/(?P<epochs>[0-9]+))?")
_OLD_LIMIT = re.compile(r"(?P<name>\w+) (?P<value>\S+) is over the limit (?P<limit>\S+)")
_OLD_HOPELESS = re.compile(r"trial (\d+) dominates it even with accuracy (\S+)")
_OLD_BEHIND = re.compile(r"dominated by \d+ of (\d+) peers, (\d+) of them by fewer")
_KINDS: dict[str, Kind] = {
    r"\w[\w ]* \S+(?: \w+)? is over the limit of .+": "limit",
    r"trial \d+ is better even if this one reached an accuracy of .+": "hopeless",
    r"\d+ of \d+ comparable trials were better": "behind",
}
_GROUPS: dict[Kind, str] = {
    "hopeless": "a complete trial is better, even if these reached the best accuracy expected",
    "behind": "most of the comparable trials were better",
}


def rung_words(rung: str) -> str:
    """Return at which point of a trial a rung is.

    Args:
        rung: its name, such as ``"structure"``, ``"fine-tune 1/4"`` or, at the end of a stage,
            ``"fine-tune"``.
    """
    match = _STEP.fullmatch(rung)
    if rung == "structure" or match is None:
        return _BEFORE
    if match["epoch"] is None:
        return f"after the last epoch ({match['stage']})"
    return f"after epoch {match['epoch']} of {match['epochs']} ({match['stage']})"


def limit_reason(name: str, value: float, limit: float, text: str = "") -> str:
    """Return that a quantity is over its limit, in the unit that the limit was written in."""
    objective = OBJECTIVES[name]
    return (
        f"{objective.title} {limit_amount(objective, value, text)} is over the limit of "
        f"{limit_amount(objective, limit, text)}"
    )


def hopeless_reason(trial: int, accuracy: float) -> str:
    """Return that a complete trial is better at the best accuracy that can be expected."""
    return f"trial {trial} is better even if this one reached an accuracy of {accuracy:.4g}"


def behind_reason(better: int, peers: int) -> str:
    """Return how many of the trials that came as far were better."""
    return f"{better} of {peers} comparable trials were better"


def stopped_words(reason: str | None) -> str:
    """Return how a trial was stopped, such as ``"stopped before training: size ..."``.

    Args:
        reason: of the record, by this version or an older one.
    """
    at, why = _parts(reason or "no reason was recorded")
    return f"stopped {at}: {why}" if at else f"stopped: {why}"


def kind_of(reason: str | None) -> Kind:
    """Return which rule stopped a trial."""
    why = _parts(reason or "")[1]
    return next((kind for form, kind in _KINDS.items() if re.fullmatch(form, why)), "other")


def group_of(reason: str | None) -> str:
    """Return what a trial's reason has in common with others': without their numbers."""
    at, why = _parts(reason or "no reason was recorded")
    kind = kind_of(reason)
    if kind == "limit":
        why = f"{re.split(r' [0-9.]', why)[0]} over the limit of{why.rpartition(' of')[2]}"
    else:
        why = _GROUPS.get(kind, why)
    return f"{at}: {why}" if at else why


def _parts(reason: str) -> tuple[str, str]:
    """Return when and why; when is empty where a reason does not begin with it."""
    head, colon, why = reason.partition(": ")
    if not colon:
        return "", reason
    if head == _BEFORE or head.startswith("after "):
        return head, why
    old = _newer(why)
    return (rung_words(head), old) if old is not None else ("", reason)


def _newer(why: str) -> str | None:
    """Return today's words for those of version 1; None if they are not."""
    if match := _OLD_LIMIT.fullmatch(why):
        name = match["name"]
        if name in OBJECTIVES:
            return limit_reason(name, float(match["value"]), float(match["limit"]))
    if match := _OLD_HOPELESS.fullmatch(why):
        return hopeless_reason(int(match[1]), float(match[2]))
    if match := _OLD_BEHIND.fullmatch(why):
        return behind_reason(int(match[2]), int(match[1]))
    return None
