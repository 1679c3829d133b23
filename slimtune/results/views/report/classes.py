"""The report's tables of single classes: the worst of each member, beside the baseline."""

from dataclasses import dataclass

import pandas as pd

from slimtune.results.class_scores import ClassTable, class_tables
from slimtune.results.run import Run
from slimtune.results.store.joint import read_joint


@dataclass(frozen=True)
class MemberClasses:
    """One member of the front.

    Attributes:
        trial: its number.
        pipeline: in a few words.
        knee: whether it is the knee.
        table: its worst classes.
    """

    trial: int
    pipeline: str
    knee: bool
    table: ClassTable


def member_classes(run: Run, front: pd.DataFrame) -> list[MemberClasses]:
    """Return the tables of all members that were tested class by class; none of older runs.

    Args:
        run: the run.
        front: from `Run.front`.
    """
    scores = {row.trial: row.test_classes for row in read_joint(run.path)}
    found = class_tables(scores, run.manifest["workload"].get("classes", ()))
    return [
        MemberClasses(int(row["trial"]), str(row["pipeline"]), bool(row["knee"]), found[trial])
        for row in front.to_dict("records")
        if (trial := int(row["trial"])) in found
    ]
