"""`slimtune.search`: a whole search as one Python call."""

from __future__ import annotations  # help() then shows `Data`, not its long definition

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

    None means that an argument is not given: the preset's value or the default is used.

    You can give models, data and metrics as Python objects. The run records the import name of an
    object that has one. For any other object, such as a function defined in a notebook, it records
    a digest; give the same object again to resume the run in another process.

    Args:
        out: folder of the run. It must not exist, unless ``resume`` is True.
        model: the network to compress. Give a trained ``nn.Module``, whose weights become the
            baseline's; or a class or function that makes a network, which is called with the
            keywords ``num_classes`` and ``in_channels`` if its signature has them, and which is
            trained first unless you give ``weights``; or a reference: ``"resnet20"``,
            ``"torchvision:NAME"``, ``"timm:NAME"``, ``"FILE.py:NAME"``, ``"MODULE:NAME"``. Default
            ``"resnet20"``.
        weights: weights of the baseline: a file of plain tensors, or a state dict. Default: the
            baseline is trained first.
        data: the images to train, select and test on. Give arrays,
            ``(x_train, y_train, x_test, y_test)``, from NumPy or torch: images uint8 of shape
            (n, height, width), (n, height, width, channels) or (n, channels, height, width),
            labels integers 0..k-1; or a mapping of the same names, which may also have ``x_val``,
            ``y_val`` and ``classes``; or ``(x, y)``, of which 20 % are set apart for the test; or
            a torch dataset of (image, label), or a pair of them for training and test; or a
            `slimtune.Dataset`; or a function that returns one of these; or a reference:
            ``"digits"``, ``"cifar10"``, ``"folder:DIR"``, ``"npz:FILE"``... Default ``"cifar10"``.
        preprocessing: ``{"mean": M, "std": S}`` of pixels scaled to 0..1, with one number per
            channel; or ``"imagenet"``, ``"cifar10"``, ``"half"`` or ``"none"``. Default: the
            network's own, else ImageNet's for colour images.
        teacher: the network that students learn from, given like ``model``. Default: the baseline.
        teacher_weights: the teacher's weights, given like ``weights``. Default: the teacher is
            trained first.
        trials: number of recipes to try, at least 1. Default 20, or all of a grid.
        sampler: the algorithm that proposes recipes: ``"tpe"``, ``"nsga2"``, ``"nsga3"``,
            ``"random"``, ``"grid"`` or ``"qmc"``. Default ``"tpe"``.
        start: the first recipes to try: a list of them; ``"auto"`` for the baseline, the recipes
            that need no training, and one technique at a time; or ``"none"``. Default ``"auto"``.
        constraints: limits that every answer must satisfy: ``min_accuracy`` (0..1, or ``"-1%"``
            for one point below the baseline), ``max_size`` and ``max_latency`` (``"500KiB"``,
            ``"2ms"``, or ``"0.5x"`` or ``"-20%"`` of the baseline's). Default: no limits.
        time_budget: time after which no new trial starts, such as ``"10m"`` or ``"1h30m"``.
            Default: unlimited.
        stop_when_flat: stop after this many trials in a row, at least 1, that added no
            hypervolume. Default: never.
        stopping: whether to stop trials early that cannot join the front. Default ``"auto"``: yes,
            but not in a grid.
        final: run the members of the front again at full length, such as
            ``{"epochs": 30, "repeats": 3}``. Default: no finals.
        seeds: run a grid once with each of these seeds, each 0..2**31-1. Default: run it once.
        seed: seed of every random choice, 0..2**31-1. Default 0.
        concurrency: number of trials that run at a time, at least 1. Default: as many as fit.
        executor: ``"ray"`` runs trials in parallel; ``"inline"`` runs one after another in this
            process. Default ``"ray"``.
        ray_address: address of a running Ray cluster, such as ``"auto"``. Default: start a local
            one.
        per_trial: resources of each trial: ``cpus`` (1), ``gpus`` (0..1, of one GPU), ``timeout``
            (``"10m"``), ``precision``, ``teacher_views``. Default: 1 CPU, no GPU, no timeout.
        stage_store: disk space for the stages that trials share, such as ``"4GiB"``; 0 keeps none.
            Default ``"1GiB"``.
        objectives: two or more quantities to optimise: ``"accuracy"``, ``"balanced_accuracy"``,
            ``"size_bytes"``, ``"latency_ms"``, ``"macs"``, ``"params"``, ``"bops"``; or a metric
            of your own: ``(function, "maximize")``, whose function takes logits, float32
            (n, classes), and labels, int64 (n,); or ``"FILE.py:NAME:maximize"``. Default
            ``("accuracy", "size_bytes", "latency_ms")``.
        validation: where the images come from that the search selects on: ``source`` (``"auto"``,
            ``"train"``, ``"test"``) and ``fraction``, above 0 and below 1. Default ``"auto"``: 0.2
            of the training images if the baseline is trained here, else 0.5 of the test images.
        baseline: how the baseline is trained: ``epochs`` (30; 0 if it comes trained), ``lr``
            (0.1), ``batch_size`` (128 images), ``weight_decay`` (5e-4).
        allow_weak_baseline: continue even if the given weights are no better than guessing.
            Default False.
        space: what to search, stage by stage, where it differs from the default space, such as
            ``{"prune": {"method": ["none", "l1"], "amount": [0.2, 0.6]}}``; see
            `slimtune.Space`. Default: the default space.
        summary: columns of the table of all trials; see `slimtune summary`. Default: a few.
        log_to: trackers to log finished trials to: ``"tensorboard"``, ``"mlflow"``, ``"wandb"``.
            Default: none.
        preset: name of a ready-made search to start from, such as ``"demo"``.
        resume: continue the run in ``out`` if there is one. Settings that you do not give are the
            run's.
        allow_code: allow the code and the Ray cluster that the resumed run names. What this call
            itself names is allowed anyway.
        quiet: show no progress.
        listener: function that is called with each event, such as ``TrialFinished(record)``,
            instead of showing progress; see `slimtune.search.listeners.events`. ``event.kind`` is
            the event's name; ``event.values()`` is what ``--json`` prints. Some calls come from
            other threads.

    Returns:
        The run: its front, its trials, and members to export or to load.

    Raises:
        UserError: a setting breaks a rule, or the data or the weights cannot be used.
        RunError: with ``resume``, the run is in use or damaged, or its settings do not fit.
        SearchFailedError: no trial finished.
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
