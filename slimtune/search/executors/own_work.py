"""Sends the user's own code to the workers of a search, by value, together with the work.

A worker has no consent to run that code and, on another machine, not even the file. So the driver
pickles the code that it has loaded, and the worker uses these objects for the references.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.references import code_in
from slimtune.search.trial.attempt import Aids, Work
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.workload.own_code import (
    anchored_code,
    loaded_code,
    local_modules,
    provide_code,
)


@dataclass(frozen=True)
class OwnWork:
    """A trial's body that brings the user's code to the process that unpickles it.

    Attributes:
        work: the body.
        code: code reference -> the object that it names.
    """

    work: Work
    code: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, shared: Any, spec: TrialSpec, aids: Aids) -> Outcome:
        """Run the body."""
        provide_code(dict(self.code))
        return self.work(shared, spec, aids)


def with_own_code(
    work: Work, config: SearchConfig, recipe: Mapping[str, Any] | None = None
) -> Work:
    """Return ``work`` ready to travel with the code that trials of a search call.

    That is the code of all settings except for the data, which travel as arrays.

    Args:
        work: the body of a trial.
        config: of the search; code that has not been loaded is not sent.
        recipe: of a single trial, in its JSON form; its code is sent too.
    """
    named = {code for key, code in code_in(config.model_dump()) if key != "data"}
    named |= {code for _, code in code_in(recipe or {})}
    anchored = set(map(anchored_code, named))
    code = {name: thing for name, thing in loaded_code().items() if name in anchored}
    for reference in code:
        for module in local_modules(reference):
            ray.cloudpickle.register_pickle_by_value(module)
    return OwnWork(work, code) if code else work
