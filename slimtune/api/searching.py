"""`slimtune.search`: the command line's search as one Python call."""

from __future__ import annotations  # help shows `Data`, not all that it can be

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from slimtune.api.arguments import Data, Metric, Model, Weights, to_settings
from slimtune.api.screen import console_for, progress_for, show_decoding
from slimtune.compression.recipe import Recipe
from slimtune.search.api import search as search_silently
from slimtune.search.listeners.events import Listener
from slimtune.search.opened import Run
from slimtune.search.settings.config import SamplerName, SearchConfig


def search(
    *,
    out: str | Path,
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
    resume: bool = False,
    allow_code: bool = False,
    quiet: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Search for compressed versions of a model and return the finished run.

    Whatever is None is as if not given: the preset's value or the default holds. Objects that can
    be imported by name are kept by their name; of others, such as what a notebook defines, the run
    remembers a digest, and has to be given them again when it is resumed in another process.

    Args:
        out: folder of the run; must not exist, unless ``resume``.
        model: the network to compress. A trained ``nn.Module``: its weights are the baseline's, as
            if they were given as ``weights``. A class or function that makes one: called by
            keyword with ``num_classes`` and ``in_channels`` where its signature takes them, and
            trained first. Or a reference: ``"resnet20"``, ``"torchvision:NAME"``,
            ``"timm:NAME"``, ``"FILE.py:NAME"``, ``"MODULE:NAME"``. Default ``"resnet20"``.
        weights: of the baseline: a file of plain tensors or a state dict. Default: it is trained
            here.
        data: what to train, select and test on: ``(x_train, y_train, x_test, y_test)``, NumPy or
            torch, the images uint8 as (n, height, width), (n, height, width, channels) or
            (n, channels, height, width), the labels integers 0..k-1; the same by name, with
            ``x_val`` and ``classes`` if you like; ``(x, y)``, of which 20 % are set apart to test
            on; a torch dataset of (image, label), or a pair of them for training and test; a
            `slimtune.Dataset`; a function that returns one of these. Or a reference: ``"digits"``,
            ``"cifar10"``, ``"folder:DIR"``, ``"npz:FILE"``... Default ``"cifar10"``.
        preprocessing: ``{"mean": M, "std": S}``, of pixels scaled to 0..1: a number a channel, or
            ``"imagenet"``, ``"cifar10"``, ``"half"``, ``"none"``. Default: the network's own,
            else ImageNet's for colour images.
        teacher: the network that students learn from, given like ``model``. Default: the baseline.
        teacher_weights: its weights, given like ``weights``. Default: it is trained here.
        trials: how many recipes to try, at least 1. Default 20, or all of a grid.
        sampler: who proposes recipes: ``"tpe"``, ``"nsga2"``, ``"nsga3"``, ``"random"``,
            ``"grid"`` or ``"qmc"``. Default ``"tpe"``.
        start: the first recipes: a list of them, ``"auto"`` (the baseline, what needs no training,
            one technique at a time) or ``"none"``. Default ``"auto"``.
        constraints: what every answer must keep: ``min_accuracy`` (0..1, or ``"-1%"`` for a point
            below the baseline), ``max_size`` and ``max_latency`` (``"500KiB"``, ``"2ms"``,
            ``"0.5x"`` or ``"-20%"`` of the baseline's). Default: none.
        time_budget: no new trial starts after it, such as ``"10m"`` or ``"1h30m"``. Default: none.
        stop_when_flat: stop when so many trials in a row, at least 1, gained no hypervolume.
            Default: never.
        stopping: end hopeless trials early. Default ``"auto"``: yes, but not in a grid.
        final: the front's members again, at full length: ``{"epochs": 30, "repeats": 3}``.
            Default: no finals.
        seeds: a grid is run once with each of them, each 0..2**31-1. Default: one run.
        seed: fixes every random choice, 0..2**31-1. Default 0.
        concurrency: trials at a time, at least 1. Default: as many as fit.
        executor: ``"ray"`` runs trials side by side, ``"inline"`` one after another in this
            process. Default ``"ray"``.
        ray_address: of a running cluster, such as ``"auto"``. Default: a local one is started.
        per_trial: what each trial gets: ``cpus`` (1), ``gpus`` (0..1, of one GPU), ``timeout``
            (``"10m"``), ``precision``, ``teacher_views``. Default: 1 CPU, no GPU, no timeout.
        stage_store: disk for stages that trials share, such as ``"4GiB"``; 0 keeps none. Default
            ``"1GiB"``.
        objectives: two or more measured quantities to trade: ``"accuracy"``,
            ``"balanced_accuracy"``, ``"size_bytes"``, ``"latency_ms"``, ``"macs"``, ``"params"``,
            ``"bops"``, or a metric of your own: ``(function, "maximize")``, where the function
            takes logits, float32 (n, classes), and labels, int64 (n,), or
            ``"FILE.py:NAME:maximize"``. Default ``("accuracy", "size_bytes", "latency_ms")``.
        validation: where the images come from that the search selects on: ``source`` (``"auto"``,
            ``"train"``, ``"test"``) and ``fraction``, above 0 and below 1. Default ``"auto"``: 0.2
            of train if the baseline is trained here, else 0.5 of test.
        baseline: how the baseline is trained: ``epochs`` (30; 0: it comes trained), ``lr`` (0.1),
            ``batch_size`` (128 images), ``weight_decay`` (5e-4).
        allow_weak_baseline: go on with given weights that do no better than guessing. Default
            False.
        space: narrows or widens what is searched, stage by stage, such as
            ``{"prune": {"method": ["none", "l1"], "amount": [0.2, 0.6]}}``; see
            `slimtune.Space`. Default: the whole default space.
        summary: columns of the table of all trials at the end. Default: a few.
        log_to: trackers that finished trials are logged to: ``"tensorboard"``, ``"mlflow"``,
            ``"wandb"``. Default: none.
        preset: name of a ready-made search to start from, such as ``"demo"``.
        resume: go on with the run in ``out``, if there is one; settings that are not given are
            the run's.
        allow_code: run code that the resumed run names, and connect to the Ray that it names;
            what this call itself names may be used anyway.
        quiet: show no progress.
        listener: called with each event in place of the progress on standard error, such as
            ``TrialFinished(record)``; see `slimtune.search.listeners.events`. ``event.kind`` is
            its name, ``event.values()`` what ``--json`` prints of it. Some come from other
            threads.

    Raises:
        UserError: a setting that breaks a rule, or data and weights that cannot be used.
        RunError: with ``resume``, a run that is in use, damaged, or was made with other settings.
        SearchFailedError: not one trial finished.
    """
    arguments = {name: value for name, value in locals().items() if name in _SETTINGS}
    console = console_for(quiet)
    with show_decoding(console):
        given = to_settings(arguments)
    options: dict[str, Any] = {
        "out": out, "preset": preset, "resume": resume, "allow_code": allow_code
    }  # fmt: skip
    if listener is not None:
        return search_silently(given, **options, listener=listener)
    with progress_for(console, Path(out)) as progress:
        run = search_silently(given, **options, listener=progress)
    if missed := run.nearest_miss():
        console.print(f"warning: {missed}", markup=False, soft_wrap=True)
    return run


_SETTINGS = tuple(SearchConfig.model_fields)
