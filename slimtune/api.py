"""The verbs of the command line as Python functions: the same work, checks and errors.

What takes long says how far it is on standard error; ``quiet=True`` says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from slimtune.cli.screen.progress import Progress
from slimtune.cli.verbs.compress import carried_out, read_recipe
from slimtune.compression.recipe import Recipe
from slimtune.errors import UserError
from slimtune.results.reprs import record_words
from slimtune.results.store.folder import find_run
from slimtune.results.store.record import TrialRecord
from slimtune.search.api import search as search_silently
from slimtune.search.forecast.checkup import Checkup, check_up
from slimtune.search.listeners.events import Listener
from slimtune.search.opened import Run
from slimtune.search.review.compare import compare_models
from slimtune.search.review.evaluate import evaluate_checkpoint, evaluate_file, evaluate_in_run
from slimtune.search.saved import load_model
from slimtune.search.settings.config import SearchConfig, make_config
from slimtune.search.settings.references import code_in
from slimtune.workload import load_progress, own_code


def search(
    *,
    out: str | Path,
    preset: str | None = None,
    listener: Listener | None = None,
    quiet: bool = False,
    resume: bool = False,
    allow_code: bool = False,
    **settings: Any,
) -> Run:
    """Search for compressed versions of a model and return the finished run.

    Args:
        out: folder of the run; must not exist, unless ``resume``.
        preset: name of a ready-made search to start from, such as ``"demo"``.
        listener: called with each event in place of the progress on standard error, such as
            ``TrialFinished(record)``; see `slimtune.search.listeners.events`. ``event.kind`` is
            its name, ``event.values()`` what ``--json`` prints of it. Some come from other
            threads.
        quiet: show no progress.
        resume: go on with the run in ``out``, if there is one; settings that are not given are
            the run's.
        allow_code: run code that the resumed run names, and connect to the Ray that it names;
            what ``settings`` name may be used anyway.
        **settings: the settings of `slimtune.search.settings.config.SearchConfig`: ``model``,
            ``weights``, ``data``, ``preprocessing`` (``{"mean": "half"}``), ``trials``, ``seed``,
            ``allow_weak_baseline``, ``concurrency``, ``executor``, ``objectives``,
            ``validation``, ``baseline``, ``constraints``, ``space``, ``final`` (``{"epochs": 30,
            "repeats": 3}``). None is as if not given.

    Raises:
        UserError: a setting that breaks a rule, or data and weights that cannot be used.
        RunError: with ``resume``, a run that is in use, damaged, or was made with other settings.
        SearchFailedError: not one trial finished.
    """
    options = {"preset": preset, "resume": resume, "allow_code": allow_code, **settings}
    if listener is not None:
        return search_silently(out=out, listener=listener, **options)
    console = _console(quiet)
    with Progress(console, Path(out)) as progress:
        run = search_silently(out=out, listener=progress, **options)
    if missed := run.nearest_miss():
        console.print(f"warning: {missed}", markup=False, soft_wrap=True)
    return run


@dataclass(frozen=True, repr=False)
class CompressedModel:
    """What `compress` made.

    Attributes:
        path: the folder with model.onnx, the weights and the recipe.
        record: what was asked and measured.
        baseline: the same of the network as it was.
    """

    path: Path
    record: TrialRecord
    baseline: TrialRecord

    def load(self) -> Any:
        """Return the model as a torch module in eval mode; see `slimtune.load_model`."""
        return load_model(self.path)

    def __repr__(self) -> str:
        """Return it in one line."""
        before, after = record_words(self.baseline), record_words(self.record)
        return f"<CompressedModel {self.path}: {self.record.pipeline}; {after}; before: {before}>"


def compress(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *,
    out: str | Path,
    preset: str | None = None,
    from_stage: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> CompressedModel:
    """Carry out one recipe on one model, as ``slimtune compress`` does, without a search.

    Args:
        recipe: a recipe, its stages such as ``{"prune": {"method": "l1", "amount": 0.5}}``, or
            a YAML file of them.
        out: new folder for model.onnx, the weights, the recipe and what was measured.
        preset: name of a ready-made search that model, data and training are taken from.
        from_stage: go on from a stage that an earlier call saved, such as ``out/stages/prune``.
        quiet: show no progress.
        **settings: as for `search`: ``model``, ``weights``, ``data``, ``seed``, ``teacher``,
            ``baseline``, ``per_trial``...

    Raises:
        UserError: ``out`` exists, a recipe that the network or the data do not allow, or bad
            settings; nothing has been trained then.
        TrialError: the recipe cannot be carried out.
    """
    config = _config(settings, preset).anchored()
    console, folder = _console(quiet), Path(out)
    stage = None if from_stage is None else Path(from_stage)
    with _decoding(console):
        baseline, made = carried_out(config, _recipe(recipe), folder, stage, _teller(console))
    return CompressedModel(folder, made, baseline)


def doctor(*, preset: str | None = None, quiet: bool = False, **settings: Any) -> Checkup:
    """Find out what a search can do with a model and data, as ``slimtune doctor`` does.

    Nothing is written, and nothing is trained but a few steps.

    Args:
        preset: name of a ready-made search that settings are taken from.
        quiet: show no progress.
        **settings: as for `search`: ``model``, ``weights``, ``data``, ``space``...

    Returns:
        What was found: ``findings`` technique by technique, ``trial`` (what one costs), ``host``,
        and ``command``, a search that leaves out what does not work.

    Raises:
        UserError: the model or the data cannot be used at all, or do not fit each other.
    """
    console = _console(quiet)
    tell = _teller(console)
    with _decoding(console):
        return check_up(_config(settings, preset), lambda what: tell(f"trying: {what}"), preset)


def compare(
    models: Sequence[str | Path],
    *,
    data: str | None = None,
    run: str | Path | None = None,
    threads: int = 1,
) -> pd.DataFrame:
    """Count and measure models side by side, as ``slimtune compare`` does.

    Args:
        models: ONNX files, folders that hold a ``model.onnx``, or checkpoints as
            ``"MODEL=FILE"``.
        data: reference of a dataset, whose test split is used.
        run: the run whose data and test split are used instead; where neither is given, the
            run that a file lies in. Without any, accuracy is not measured.
        threads: of the runtime.

    Returns:
        One row a model; its columns are the attributes of
        `slimtune.search.review.compare.Compared`.

    Raises:
        UserError: a model or data that cannot be read, or that do not fit each other.
        RunError: the folder is not a run, or its data has changed.
    """
    if data is not None and run is not None:
        raise UserError("give data or run, not both")
    texts = [str(model) for model in models]
    _allow({"data": data or ""}, *({"model": text.partition("=")[0]} for text in texts))
    rows = compare_models(texts, data, None if run is None else Path(run), threads)
    return pd.DataFrame([asdict(row) for row in rows])


def evaluate(
    file: str | Path | None = None,
    *,
    data: str | None = None,
    run: str | Path | None = None,
    model: str | None = None,
    weights: str | Path | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Measure an ONNX file or a checkpoint, as ``slimtune evaluate`` does.

    Args:
        file: an ONNX file; or ``model`` and ``weights`` for a checkpoint, with ``data``.
        data: reference of a dataset, whose whole test split is used.
        run: the run whose splits are used instead; where neither is given, the run that the
            file lies in.
        model: the network of a checkpoint.
        weights: its weights.
        threads: of the runtime.

    Returns:
        ``test_accuracy`` and its ``test_standard_error``, ``size_bytes``, ``latency_ms``...

    Raises:
        UserError: what is given cannot be read, does not fit, or is too little.
        RunError: the folder is not a run, or its data has changed.
    """
    if data is not None and run is not None:
        raise UserError("give data or run, not both")
    _allow({"model": model or "", "data": data or ""})
    if file is None:
        if model is None or weights is None or data is None:
            raise UserError("give an ONNX file, or model, weights and data")
        return evaluate_checkpoint(model, str(weights), data)
    if model is not None or weights is not None:
        raise UserError("give an ONNX file, or model and weights, not both")
    if data is not None:
        return evaluate_file(Path(file), data, threads)
    place = find_run(Path(file)) if run is None else Path(run)
    if place is None:
        raise UserError(f"{file} is in no run folder; give data or run")
    return evaluate_in_run(Path(file), place, threads)


def _config(settings: Mapping[str, Any], preset: str | None) -> SearchConfig:
    """Return the config of settings that were named here: their code may run."""
    given = {name: value for name, value in settings.items() if value is not None}
    _allow(given)
    return make_config(given, preset)


def _allow(*named: Mapping[str, Any]) -> None:
    for settings in named:
        own_code.allow_code(*(reference for _, reference in code_in(settings)))


def _recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        _allow(recipe)
        return Recipe.from_dict(dict(recipe))
    return read_recipe(Path(recipe))


def _console(quiet: bool) -> Console:
    # Not as HTML: in a notebook each line would be a picture of its own.
    return Console(stderr=True, highlight=False, quiet=quiet, force_jupyter=False)


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, soft_wrap=True)


def _decoding(console: Console) -> AbstractContextManager[None]:
    tell = _teller(console)
    return load_progress.listening(
        lambda done, total: tell(f"decoding images: {done} of {total}"), load_progress.LINES
    )
