"""A whole search, top to bottom: workload, baseline, trials, the front measured together."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slimtune.compression.recipe import Recipe
from slimtune.compression.stages import Train
from slimtune.errors import ModelError, SearchFailedError, TrialError
from slimtune.measurement.accuracy import accuracy, standard_error
from slimtune.measurement.host import describe_host
from slimtune.measurement.latency import measure_latency
from slimtune.measurement.runtime import predict
from slimtune.results.final import FinalRow, write_final
from slimtune.results.folder import RunFolder, refuse_existing
from slimtune.results.limits import resolve_limits, violations
from slimtune.results.objectives import parse_objectives
from slimtune.results.run import Run, open_run
from slimtune.search.budget import Budget
from slimtune.search.checks import check_space
from slimtune.search.config import SearchConfig
from slimtune.search.inline_executor import run_inline
from slimtune.search.proposer import Proposer, open_study
from slimtune.search.ray_executor import run_ray
from slimtune.search.ray_session import check_address
from slimtune.search.samplers import FLAT
from slimtune.search.setup import (
    load_workload,
    teacher_as_baseline,
    train_missing,
    workload_fingerprint,
)
from slimtune.search.spec import Outcome, TrialSpec
from slimtune.search.trial import failed_outcome, run_trial
from slimtune.spaces.flat import suggest_flat
from slimtune.spaces.space import suggest_recipe
from slimtune.workload.datasets import load_dataset
from slimtune.workload.splits import noise_warning
from slimtune.workload.types import Workload

Listener = Callable[[str, Mapping[str, Any]], None]
BASELINE_NUMBER = -1
FRONT_LATENCY_SECONDS = 3.0


def ignore_events(event: str, values: Mapping[str, Any]) -> None:
    """Show nothing."""


def run_search(config: SearchConfig, out: Path, listener: Listener = ignore_events) -> Run:
    """Run a search and return the run.

    Args:
        config: what to search, on what.
        out: folder of the run; must not exist.
        listener: told what happens, as an event's name and its values: ``workload``,
            ``epoch``, ``baseline``, ``warning``, ``started``, ``finished``, ``stopped``,
            ``final``.

    Raises:
        UserError: bad input; nothing has been written then.
        SearchFailedError: not one trial finished.
        KeyboardInterrupt: interrupted; every finished trial is in the run folder.
    """
    budget = Budget.of(config)  # what the user waits for begins here, with the baseline's training
    refuse_existing(out)
    config = config.anchored()
    if config.executor == "ray" and config.ray_address is not None:
        check_address(config.ray_address)
    workload = load_workload(config, load_dataset(config.data))
    check_space(config, workload)
    listener("workload", _workload_words(config, workload))
    if (config.concurrency or 0) > config.workers():
        text = f"{config.concurrency} trials at a time asked for, {config.workers()} can run"
        listener("warning", {"text": text})

    train_missing(
        workload, config, lambda what, epoch: listener("epoch", {"what": what, **vars(epoch)})
    )
    baseline, test = _measured(workload, config, config.model)
    measured = {**baseline.objectives, **baseline.payload.metrics}
    listener("baseline", {**measured, **test})
    for warning in _warnings(measured, test, workload):
        listener("warning", {"text": warning})
    teacher = None
    if workload.teacher is not None:
        teacher, taught = _measured(teacher_as_baseline(workload, config), config, config.teacher)
        listener("teacher", {**teacher.objectives, **taught, "model": config.teacher})

    folder = RunFolder.create(out, _manifest(config, workload, measured))
    folder.write_baseline({**baseline.payload.to_dict(), **test}, baseline.files)
    if teacher is not None:
        folder.write_teacher({**teacher.payload.to_dict(), **taught}, teacher.files)

    stopped = _run_trials(config, folder, workload, listener, budget)

    if not any(record.status == "complete" for record in folder.records()):
        if not folder.records():
            raise SearchFailedError(f"no trial was run: {stopped}")
        first = folder.records()[0].error
        raise SearchFailedError(f"no trial finished; the first failed with: {first}")
    measure_front(folder, workload)
    run = open_run(folder.path)
    if missed := run.nearest_miss():
        listener("warning", {"text": missed})
    listener("final", {"hypervolume": run.hypervolume(), "members": len(run.front())})
    return run


def _run_trials(
    config: SearchConfig,
    folder: RunFolder,
    workload: Workload,
    listener: Listener,
    budget: Budget,
) -> str:
    """Propose, run and record; files come before the study; return what stopped it early."""
    space = config.resolved_space()
    suggest = suggest_flat if config.sampler in FLAT else suggest_recipe
    limits = folder.manifest["limits"]
    objectives = parse_objectives(config.objectives)
    study = open_study(folder.study_path, [o.direction for o in objectives], folder.path.name)
    specs: dict[int, TrialSpec] = {}
    points = config.points()
    repeats = max(1, len(config.seeds))
    proposer = Proposer(
        study,
        lambda trial: suggest(trial, space).to_dict(),
        objectives=list(config.objectives),
        trials=config.total_trials(),
        seed=config.seed,
        key=lambda recipe: Recipe.from_dict(recipe).key(),
        start=[point for point in points for _ in range(repeats)],
        seeds=[seed for _ in points for seed in config.seeds],
        sampler=config.sampler,
        enough=budget.judge(objectives, folder.manifest["reference_point"]),
    )

    def tell(outcome: Outcome) -> None:
        spec = specs[outcome.number]
        if outcome.payload is None:  # the process died; nothing came back but the reason
            trace = outcome.files.get("error.txt", b"").decode()
            outcome = failed_outcome(spec, TrialError(outcome.reason), trace=trace)
        folder.write_trial(outcome.payload, spec.to_dict(), outcome.files)
        measured = {} if outcome.payload is None else outcome.payload.metrics
        proposer.tell(outcome, violations(limits, {**measured, **outcome.objectives}))

    def on_event(event: str, what: TrialSpec | Outcome) -> None:
        if isinstance(what, TrialSpec):
            specs[what.number] = what
            words = Recipe.from_dict(what.recipe).describe()
            listener("started", {"number": what.number, "pipeline": words})
        else:
            listener("finished", {"record": folder.record(what.number)})

    work = partial(run_trial, objectives=tuple(config.objectives))
    if config.executor == "inline":
        run_inline(work, workload, proposer.ask, tell, on_event=on_event)
    else:
        run_ray(
            work,
            workload,
            proposer.ask,
            tell,
            concurrency=config.workers(),
            address=config.ray_address,
            on_event=on_event,
        )
    if proposer.stopped:
        listener("stopped", {"reason": proposer.stopped})
    return proposer.stopped


def measure_front(folder: RunFolder, workload: Workload) -> None:
    """Measure the front's files again: test accuracy, and latency all together and in quiet."""
    numbers = [int(number) for number in open_run(folder.path).front()["trial"]]
    files = [folder.trial_path(number) / "model.onnx" for number in numbers]
    files.insert(0, folder.path / "baseline" / "model.onnx")
    latencies = measure_latency(
        files, image_shape=workload.image_shape, seconds=FRONT_LATENCY_SECONDS
    )
    rows = [
        FinalRow(
            trial=number,
            latency_ms=latency.ms,
            stable=latency.stable,
            **_test_accuracy(workload, file),
        )
        for number, file, latency in zip([None, *numbers], files, latencies, strict=True)
    ]
    write_final(folder.path, rows)


def _test_accuracy(workload: Workload, file: bytes | Path) -> dict[str, float]:
    logits = predict(file, workload.test.images, mean=workload.mean, std=workload.std)
    score = accuracy(logits, workload.test.labels)
    return {
        "test_accuracy": score,
        "test_standard_error": standard_error(score, len(workload.test)),
    }


def _measured(
    workload: Workload, config: SearchConfig, name: str | None
) -> tuple[Outcome, dict[str, float]]:
    """Return the untouched baseline of ``workload`` as a trial, and its test accuracy.

    Raises:
        ModelError: it cannot be exported or measured.
    """
    outcome = run_trial(workload, _baseline_spec(config), tuple(config.objectives))
    if outcome.status == "failed":
        raise ModelError(f"{name}: the network itself fails: {outcome.payload.error}")
    return outcome, _test_accuracy(workload, outcome.files["model.onnx"])


def _baseline_spec(config: SearchConfig) -> TrialSpec:
    recipe = Recipe(train=Train(epochs=0)).to_dict()
    return TrialSpec(number=BASELINE_NUMBER, recipe=recipe, seed=config.seed)


def _warnings(
    measured: Mapping[str, Any], test: Mapping[str, float], workload: Workload
) -> list[str]:
    text = noise_warning(
        measured["accuracy"], len(workload.validation), test["test_accuracy"], len(workload.test)
    )
    return [] if text is None else [text]


def _workload_words(config: SearchConfig, workload: Workload) -> dict[str, Any]:
    return {
        "data": workload.dataset,
        "image_shape": workload.image_shape,
        "classes": len(workload.classes),
        "train": len(workload.train),
        "validation": len(workload.validation),
        "test": len(workload.test),
        "validation_source": config.validation_source,
        "model": config.model,
        "params": sum(p.numel() for p in workload.baseline.parameters()),
        "trials": config.total_trials(),
        "workers": config.workers(),
        "seed": config.seed,
    }


def _manifest(
    config: SearchConfig, workload: Workload, baseline: Mapping[str, Any]
) -> dict[str, Any]:
    """Return run.json's content; limits and reference point are fixed here, for good."""
    directions = {o.name: o.direction for o in parse_objectives(config.objectives)}
    return {
        "config": config.model_dump(mode="json"),
        "objectives": list(config.objectives),
        "reference_point": {
            name: 0.0 if directions[name] == "maximize" else 1.1 * baseline[name]
            for name in config.objectives
        },
        "limits": resolve_limits(config.constraints.model_dump(), baseline),
        "workload": {
            "fingerprint": workload_fingerprint(workload),
            "validation_source": config.validation_source,
            "train": len(workload.train),
            "validation": len(workload.validation),
            "test": len(workload.test),
            "classes": list(workload.classes),
            "mean": list(workload.mean),
            "std": list(workload.std),
            "image_shape": list(workload.image_shape),
            "architecture": vars(workload.architecture),
        },
        "host": describe_host(),
    }
