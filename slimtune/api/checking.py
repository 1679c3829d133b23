"""`slimtune.doctor`: check within minutes what a search can do with a model and data."""

from __future__ import annotations  # help() then shows `Data`, not its long definition

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from slimtune.api.arguments import Data, Metric, Model, Weights, to_settings
from slimtune.api.screen import console_for, line_writer, show_decoding
from slimtune.compression.recipe import Recipe
from slimtune.search.forecast.checkup import Checkup, check_up
from slimtune.search.settings.config import SamplerName, SearchConfig, make_config


def doctor(
    *,
    model: Model | None = None,
    weights: Weights | None = None,
    data: Data | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    teacher: Model | None = None,
    teacher_weights: Weights | None = None,
    trials: int | None = None,
    sampler: SamplerName | None = None,
    start: Literal["auto", "none"] | Sequence[Recipe | Mapping[str, Any]] | None = None,
    constraints: Mapping[str, str | float | None] | None = None,
    time_budget: str | None = None,
    stop_when_flat: int | None = None,
    stopping: bool | Literal["auto"] | None = None,
    final: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    executor: Literal["ray", "inline"] | None = None,
    ray_address: str | None = None,
    per_trial: Mapping[str, Any] | None = None,
    stage_store: str | int | None = None,
    objectives: Sequence[Metric] | None = None,
    validation: Mapping[str, Any] | None = None,
    baseline: Mapping[str, Any] | None = None,
    allow_weak_baseline: bool | None = None,
    space: Mapping[str, Any] | None = None,
    summary: Sequence[str] | None = None,
    log_to: Sequence[Literal["tensorboard", "mlflow", "wandb"]] | None = None,
    preset: str | None = None,
    quiet: bool = False,
) -> Checkup:
    """Check what a search can do with a model and data, as ``slimtune doctor`` does.

    It writes nothing and trains only a few steps. It takes the same settings as `search`, so that
    you can give both the same ones; `search` describes each of them.

    Args:
        model: the network, as for `search`.
        weights: its weights, as for `search`; the check works without them too.
        data: as for `search`.
        preprocessing: as for `search`.
        teacher: loaded and checked; as for `search`.
        teacher_weights: as for `search`.
        trials: checked as for `search`.
        sampler: checked as for `search`; decides what lists in ``space`` mean.
        start: checked as for `search`.
        constraints: checked as for `search`.
        time_budget: checked as for `search`.
        stop_when_flat: checked as for `search`.
        stopping: checked as for `search`.
        final: checked as for `search`.
        seeds: checked as for `search`.
        seed: as for `search`.
        concurrency: checked as for `search`.
        executor: checked as for `search`.
        ray_address: checked as for `search`.
        per_trial: checked as for `search`.
        stage_store: checked as for `search`.
        objectives: checked as for `search`.
        validation: as for `search`.
        baseline: as for `search`.
        allow_weak_baseline: checked as for `search`.
        space: as for `search`; checks that its methods work and that its training suits the data.
        summary: checked as for `search`.
        log_to: checked as for `search`.
        preset: name of a ready-made search whose settings are used where none are given.
        quiet: show no progress.

    Returns:
        The result: ``findings``, technique by technique; ``trial``, the cost of one; ``host``; and
        ``command``, a search without the techniques that do not work.

    Raises:
        UserError: the model or the data cannot be used, or do not fit each other.
    """
    arguments = {name: value for name, value in locals().items() if name in _SETTINGS}
    console = console_for(quiet)
    tell = line_writer(console)
    with show_decoding(console):
        config = make_config(to_settings(arguments), preset)
        return check_up(config, lambda what: tell(f"trying: {what}"), preset)


_SETTINGS = tuple(SearchConfig.model_fields)
