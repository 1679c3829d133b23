"""A whole search, top to bottom: workload, baseline, trials, the front measured together."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.conditions import Conditions
from slimtune.errors import ModelError, SearchFailedError
from slimtune.results.objectives import parse_objectives
from slimtune.results.pareto.limits import decided_violations
from slimtune.results.run import Run, open_run
from slimtune.results.stop_reason import stopped_words
from slimtune.results.store.folder import RunFolder, refuse_existing
from slimtune.results.store.lock import RunLock, claimed
from slimtune.search.executors.latency_lane import measure_on_reference_host
from slimtune.search.executors.machines import machines, start_ray, workers
from slimtune.search.executors.own_work import with_own_code
from slimtune.search.executors.ray_session import ray_stays
from slimtune.search.executors.run_all import run_all
from slimtune.search.executors.second_chance import Called, trial_words
from slimtune.search.facts import manifest_of, workload_words
from slimtune.search.finals.final_measurement import measure_front, on_test
from slimtune.search.finals.finals import run_finals
from slimtune.search.forecast.checks import check_space, learn_groups
from slimtune.search.forecast.few_steps import training_doubts
from slimtune.search.forecast.given_weights import check_given_weights
from slimtune.search.interrupts import Interrupts
from slimtune.search.listeners.report import leave_report
from slimtune.search.listeners.status_file import StatusFile
from slimtune.search.listeners.trackers.tracked import tracked
from slimtune.search.proposing.budget import Budget
from slimtune.search.proposing.grid_twins import grid_trials, grid_twins
from slimtune.search.proposing.proposals import proposer_of, recorded_points
from slimtune.search.proposing.proposer import Proposer
from slimtune.search.proposing.reconcile import open_proposer
from slimtune.search.proposing.study import Study, open_study
from slimtune.search.proposing.twins import Twins
from slimtune.search.resuming.aside import look_again
from slimtune.search.resuming.limits import breaches, settings_changed, tell_limits
from slimtune.search.resuming.resume import as_begun, check_same_search
from slimtune.search.settings.config import SearchConfig
from slimtune.search.setup import (
    load_workload,
    reopen_workload,
    teacher_as_baseline,
    train_missing,
)
from slimtune.search.trial.attempt import Aids, AtStage, Judge, OnEvent, Work, go_on
from slimtune.search.trial.recorder import Recorder
from slimtune.search.trial.scores import check_metrics
from slimtune.search.trial.spec import Outcome, TrialSpec
from slimtune.search.trial.stage_store import RunStages
from slimtune.search.trial.stopping import open_rule
from slimtune.search.trial.trial import run_trial
from slimtune.workload import load_progress
from slimtune.workload.datasets import load_dataset
from slimtune.workload.splits import noise_warning
from slimtune.workload.types import Workload

Listener = Callable[[str, Mapping[str, Any]], None]
BASELINE_NUMBER = -1


def ignore_events(event: str, values: Mapping[str, Any]) -> None:
    """Show nothing."""


def run_search(
    config: SearchConfig,
    out: Path,
    listener: Listener = ignore_events,
    *,
    resume: bool = False,
) -> Run:
    """Run a search and return the run.

    Args:
        config: what to search, on what.
        out: folder of the run; must not exist.
        listener: told what happens, as an event's name and its values: ``decoding``,
            ``workload``, ``epoch``, ``baseline``, ``warning``, ``resumed``, ``started``,
            ``finished``, ``limits``, ``stage``, ``stopping`` and ``stuck`` (from other threads),
            ``stopped``, ``fruitless``, ``missed``, ``finals``, ``final_started``,
            ``final_finished``, ``finals_measured``, ``final``, ``report``.
        resume: go on with the run that ``out`` holds, if there is one. Finished trials are kept,
            those that were running are run again as they were; a time budget begins anew.

    Raises:
        UserError: bad input; nothing has been written then.
        RunError: the run is in use or damaged, or was made with other settings or data.
        SearchFailedError: not one trial finished.
        KeyboardInterrupt: Ctrl-C or SIGTERM; see `Interrupts`. Every finished trial is in the
            run folder.
    """
    budget = Budget.of(config)  # what the user waits for begins here, with the baseline's training
    config = config.anchored()
    with (
        tracked(config.log_to, out, listener) as listener,
        _interrupts(listener) as interrupts,
        machines(config, lambda text: listener("warning", {"text": text})),
        load_progress.listening(lambda done, of: listener("decoding", {"images": done, "of": of})),
    ):
        if resume and (out / "run.json").is_file():
            return _go_on(config, out, listener, interrupts, budget)
        return _begin(config, out, listener, interrupts, budget, again=resume)


def _interrupts(listener: Listener) -> Interrupts:
    return Interrupts(
        lambda grace: listener("stopping", {"grace": grace}), stuck=lambda: listener("stuck", {})
    )


def _begin(
    config: SearchConfig,
    out: Path,
    listener: Listener,
    interrupts: Interrupts,
    budget: Budget,
    *,
    again: bool,
) -> Run:
    """Train and measure the baseline, make the folder, run all trials."""
    if not again:
        refuse_existing(out)

    def warn(text: str) -> None:
        listener("warning", {"text": text})

    workload = load_workload(config, load_dataset(config.data), warn)
    check_metrics(config.objectives, workload.validation.labels, len(workload.classes))
    check_space(config, workload)
    with claimed(out, again), ray_stays():
        params = sum(p.numel() for p in workload.baseline.parameters())
        _tell_workload(config, workload, listener, params)
        check_given_weights(config, workload, warn)
        start_ray(config, workload)
        train_missing(
            workload, config, lambda what, epoch: listener("epoch", {"what": what, **vars(epoch)})
        )
        baseline, test = _measured(workload, config, config.model)
        networks = {"baseline": ({**baseline.payload.to_dict(), **test}, baseline.files)}
        _tell_baseline(networks["baseline"][0], workload, listener)
        if workload.teacher is not None:
            teacher, taught = _measured(
                teacher_as_baseline(workload, config), config, config.teacher
            )
            networks["teacher"] = ({**teacher.payload.to_dict(), **taught}, teacher.files)
            listener("teacher", {**teacher.objectives, **taught, "model": config.teacher})
        measured = {**baseline.payload.metrics, **baseline.objectives}
        twins, line = grid_twins(config, Twins(workload).key)
        if line:
            listener("warning", {"text": line})
        manifest = manifest_of(config, workload, measured, twins)
        folder = RunFolder.begin(out, manifest, networks)
        tell_limits(folder, listener)
        return _finish(config, folder, workload, listener, interrupts, budget)


def _go_on(
    config: SearchConfig, out: Path, listener: Listener, interrupts: Interrupts, budget: Budget
) -> Run:
    """Run what a run lacks, with the baseline that it has."""
    folder = RunFolder.open(out)
    check_same_search(folder, config)
    with RunLock(out):
        workload = reopen_workload(folder, config)
        learn_groups(config, workload)
        before, folder = folder, settings_changed(folder, config)
        config = as_begun(config, folder.manifest)
        folder.sweep()
        look_again(folder, lambda text: listener("warning", {"text": text}))
        baseline = folder.baseline()
        _tell_workload(config, workload, listener, baseline["metrics"]["params"])
        _tell_baseline(baseline, workload, listener)
        tell_limits(folder, listener, before)
        with ray_stays():
            return _finish(config, folder, workload, listener, interrupts, budget)


def _tell_baseline(record: Mapping[str, Any], workload: Workload, listener: Listener) -> None:
    test = {name: record[name] for name in ("test_accuracy", "test_standard_error")}
    measured = {**record["objectives"], **record["metrics"], **test}
    listener("baseline", measured)
    for warning in _warnings(measured, test, workload):
        listener("warning", {"text": warning})


def _finish(
    config: SearchConfig,
    folder: RunFolder,
    workload: Workload,
    listener: Listener,
    interrupts: Interrupts,
    budget: Budget,
) -> Run:
    """Run the trials that are left, then the front's members at full length; measure, report."""
    listener = StatusFile(folder.path, grid_trials(config, folder.manifest), listener)
    stopped = _run_trials(config, folder, workload, listener, interrupts, budget)
    records = folder.records()
    if not records:
        raise SearchFailedError(f"no trial was run: {stopped}")
    if not any(record.status == "complete" for record in records):
        first = records[0]
        became = f"failed with: {first.error}"
        if first.status == "stopped":
            became = f"was {stopped_words(first.error)}"
        listener("fruitless", {"reason": first.error})
        raise SearchFailedError(f"no trial finished; the first {became}")
    if config.final.wanted:
        execute = partial(_execute, config, workload, interrupts, listener, Aids())
        run_finals(config, folder, workload, listener, execute)
    else:
        measure_front(folder, workload, lambda text: listener("warning", {"text": text}))
    run = open_run(folder.path)
    if missed := run.nearest_miss():
        listener("missed", {"text": missed})
    told = {"hypervolume": run.hypervolume(), "share": run.hypervolume_share()}
    listener("final", {**told, "members": len(run.front())})
    leave_report(run, listener)
    return run


def _run_trials(
    config: SearchConfig,
    folder: RunFolder,
    workload: Workload,
    listener: Listener,
    interrupts: Interrupts,
    budget: Budget,
) -> str:
    """Propose, run and record; files come before the study; return what stopped it early."""
    proposer = _proposer(config, folder, workload, listener, budget)
    stages = RunStages(
        folder, config.stage_store, workload, lambda text: listener("warning", {"text": text})
    )
    recorder = Recorder(folder)
    limits = folder.manifest.get("limits", {})
    rule = open_rule(folder) if config.stops else None
    judge: Judge = rule or go_on
    specs: dict[int, TrialSpec] = {}

    def tell(outcome: Outcome) -> None:
        outcome = recorder.record(specs[outcome.number], outcome)
        measured = {**outcome.payload.metrics, **outcome.objectives}
        proposer.tell(outcome, decided_violations(limits, measured))
        if rule is not None:
            rule.learn(outcome.payload)
        stages.add(outcome.stages)

    def on_event(event: str, what: TrialSpec | Outcome | AtStage) -> None:
        if isinstance(what, AtStage):
            listener("stage", {"number": what.number, "stage": what.stage})
        elif isinstance(what, TrialSpec):
            specs[what.number] = what
            words = Recipe.from_dict(what.recipe).describe()
            listener("started", {"number": what.number, "pipeline": words})
        else:
            listener("finished", {"record": folder.record(what.number)})

    work = partial(run_trial, objectives=tuple(config.objectives), origin=stages.origin)
    aids = Aids(judge=judge, fetch_stage=stages.fetch)
    _execute(config, workload, interrupts, listener, aids, work, proposer.ask, tell, on_event)
    if proposer.stopped:
        listener("stopped", {"reason": proposer.stopped})
    return proposer.stopped


def _execute(
    config: SearchConfig,
    workload: Workload,
    interrupts: Interrupts,
    listener: Listener,
    aids: Aids,
    work: Work,
    ask: Callable[[], TrialSpec | None],
    tell: Callable[[Outcome], None],
    on_event: OnEvent,
    called: Called = trial_words,
) -> None:
    """Run what ``ask`` hands out on the config's executor, until it ends or a signal comes."""

    def ask_unless_stopping() -> TrialSpec | None:
        return None if interrupts.requested else ask()

    with interrupts.patient():
        run_all(
            config,
            with_own_code(work, config),
            workload,
            ask_unless_stopping,
            tell,
            aids=aids,
            on_event=on_event,
            warn=lambda text: listener("warning", {"text": text}),
            go_on=lambda: not interrupts.requested,
            called=called,
        )


def _proposer(
    config: SearchConfig,
    folder: RunFolder,
    workload: Workload,
    listener: Listener,
    budget: Budget,
) -> Proposer:
    """Open the study, put it in order with the folder, and return its proposer."""

    def warn(text: str) -> None:
        listener("warning", {"text": text})

    objectives = parse_objectives(config.objectives)
    total = max(grid_trials(config, folder.manifest), max(folder.numbers(), default=-1) + 1)

    def opened() -> tuple[Study, Proposer]:
        directions = [o.direction for o in objectives]
        names = [o.name for o in objectives]
        study = open_study(folder.study_path, directions, folder.path.name, names)
        return study, proposer_of(
            config,
            study,
            total=total,
            points=recorded_points(config, folder.manifest),
            enough=budget.judge(objectives, folder.manifest["reference_point"]),
            precision=config.per_trial.trains_in(workload.image_shape),
            key=Twins(workload).key,
        )

    (study, proposer), again = open_proposer(folder, opened, warn)
    proposer.judge_by(breaches(folder))
    if study.get_trials(deepcopy=False):
        known = {"records": folder.records(), "again": again, "total": total}
        listener("resumed", known)
    return proposer


def _measured(
    workload: Workload, config: SearchConfig, name: str | None
) -> tuple[Outcome, dict[str, float]]:
    """Return the untouched baseline of ``workload`` as a trial, and its test accuracy.

    Raises:
        ModelError: it cannot be exported or measured.
    """
    aids = Aids(measure_latency=measure_on_reference_host)
    spec = _baseline_spec(config)
    outcome = run_trial(workload, spec, aids, objectives=tuple(config.objectives))
    if outcome.status == "failed":
        raise ModelError(f"{name}: the network itself fails: {outcome.payload.error}")
    return outcome, on_test(workload, outcome.files["model.onnx"])


def _baseline_spec(config: SearchConfig) -> TrialSpec:
    recipe = Recipe(train=Train(epochs=0)).to_dict()
    return TrialSpec(number=BASELINE_NUMBER, recipe=recipe, conditions=Conditions(config.seed))


def _warnings(
    measured: Mapping[str, Any], test: Mapping[str, float], workload: Workload
) -> list[str]:
    text = noise_warning(
        measured["accuracy"], len(workload.validation), test["test_accuracy"], len(workload.test)
    )
    return [] if text is None else [text]


def _tell_workload(
    config: SearchConfig, workload: Workload, listener: Listener, params: int
) -> None:
    listener("workload", {**workload_words(config, workload), "params": params})
    for text in training_doubts(config, workload):
        listener("warning", {"text": text})
    if (config.concurrency or 0) > workers(config):
        text = f"{config.concurrency} trials at a time asked for, {workers(config)} can run"
        listener("warning", {"text": text})
