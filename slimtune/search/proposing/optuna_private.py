"""What slimtune needs of Optuna that is not in Optuna's public API.

Nothing else in the package may read a private name of Optuna (tests/test_layers.py looks). Each
need has a contract test in tests/search/proposing/test_optuna_private.py, which fails when a new
version of Optuna changes it.
"""

from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial


def writable(study: Study, trial: FrozenTrial) -> Trial:
    """Return the object through which constraints and notes of a trial are written.

    Optuna returns this object only from `Study.ask`. Our trials are added together with their
    specs, and those of a resumed run by another process. Private: ``_trial_id``.
    """
    return Trial(study, trial._trial_id)


def generation(trial: FrozenTrial) -> dict[str, Any]:
    """Return the system attribute that says in which generation of NSGA a trial was born.

    It must travel from the copy of the study, where a trial is drawn, to the study. Private: the
    name of the attribute, which is ``NSGAIISampler:generation`` for the class of that name.
    """
    return {k: v for k, v in trial.system_attrs.items() if k.endswith(":generation")}
