"""Which trials may be on the front after a joint measurement.

A measured latency is never too low, but may be too high: a little if enough rounds counted,
because a processor's clock varies; much if too few did. So a trial is left out only if another
dominates it, or it breaks a limit, even at the lowest latency that it may really have.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slimtune.results.objectives import Objective
from slimtune.results.pareto.front import dominators
from slimtune.results.pareto.limits import keeps
from slimtune.results.store.joint import JointRow
from slimtune.results.store.record import TrialRecord

NOISE = 1.2
"""How many times too slow a stable latency may be: clocks move by a tenth or two."""
UNSTABLE_NOISE = 4.0
"""The same of an unstable one: slow spells, and other processes on the same core."""


def contenders(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    limits: Mapping[str, float],
) -> list[TrialRecord]:
    """Return the complete trials that may satisfy the limits and that none surely dominates.

    Args:
        records: a run's records, in any order; only complete ones count.
        objectives: of the run.
        limits: measured quantity -> limit.
    """
    rows = [(record, _at_best(record)) for record in records if record.status == "complete"]
    rows = [(record, best) for record, best in rows if keeps(limits, best)]
    names = [objective.name for objective in objectives]
    best, worst = (
        np.array([[float(row[name]) for name in names] for row in table], dtype=float)
        for table in ([best for _, best in rows], [record.objectives for record, _ in rows])
    )
    if not rows:
        return []
    directions = [objective.direction for objective in objectives]
    ahead = dominators(best, directions, worst)
    return [record for (record, _), others in zip(rows, ahead, strict=True) if others == 0]


def front_candidates(
    candidates: Sequence[TrialRecord],
    among: Callable[[], list[TrialRecord]],
    rows: Sequence[JointRow],
) -> list[TrialRecord]:
    """Return the trials to rank: the contenders measured together, or else the candidates.

    If the joint measurement misses a candidate, trials were added since and it is not used.

    Args:
        candidates: by their own latencies.
        among: returns the contenders.
        rows: the joint measurement.
    """
    together = {row.trial for row in rows if row.latency_ms is not None}
    if not {record.number for record in candidates} <= together:
        return list(candidates)
    return [record for record in among() if record.number in together]


def _at_best(record: TrialRecord) -> dict[str, float]:
    """Return a trial's measurements, with the lowest latency that it may really have."""
    measured = record.measured
    if isinstance(latency := measured.get("latency_ms"), int | float):
        unstable = measured.get("latency_stable") is False
        measured["latency_ms"] = latency / (UNSTABLE_NOISE if unstable else NOISE)
    return measured  # type: ignore[return-value]
