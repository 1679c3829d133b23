"""Makes the workload of a config: data, split once, and a trained baseline."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from slimtune.compression.calibration import calibration_batch
from slimtune.compression.network.admission import IMAGES, check_network
from slimtune.compression.training.loop import Epoch, Hooks, Teaching, train_network
from slimtune.errors import ConfigError, ModelError, NonFiniteError, RunError, UserError
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.integrity import check_stored_network
from slimtune.search.saved import load_model
from slimtune.search.settings.config import SearchConfig
from slimtune.search.settings.own_code import check_code_unchanged
from slimtune.workload.computed_weights import fold_computed_weights
from slimtune.workload.datasets import load_dataset
from slimtune.workload.fingerprint import workload_fingerprint
from slimtune.workload.objects.weights import take_weights
from slimtune.workload.own_code import called, object_key
from slimtune.workload.sources.fit import split_options
from slimtune.workload.splits import split_dataset
from slimtune.workload.types import Architecture, Augmentation, Dataset, Workload
from slimtune.workload.zoo.build import build
from slimtune.workload.zoo.own_numbers import normalised_for

SPLIT_SEED = 0  # the split never depends on --seed: runs with other seeds stay comparable


def split_workload(config: SearchConfig, dataset: Dataset, baseline: nn.Module) -> Workload:
    """Return the workload of ``config`` around an already built network.

    The validation split of the data's source is used, unless the config names another source. A
    fraction in the config applies only if there is no such split. If the normalisation would be
    a mere default, the network's own numbers are used.

    Raises:
        DataError: the dataset is too small to split.
    """
    dataset = normalised_for(dataset, config.model, baseline)
    notes = dataset.notes
    if dataset.validation is not None and config.validation.source == "auto":
        source, train, validation, test = "val", dataset.train, dataset.validation, dataset.test
    else:
        source = config.validation_source
        train, validation, test = split_dataset(
            dataset, source, config.validation_fraction, SPLIT_SEED
        )
        if dataset.validation is not None:
            count = len(dataset.validation)
            notes += (f"left out its {count} validation images: validation.source is {source}",)
    return Workload(
        dataset=dataset.name,
        train=train,
        validation=validation,
        test=test,
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
        augmentation=dataset.augmentation,
        architecture=architecture_of(config, dataset),
        baseline=baseline.eval(),
        validation_source=source,
        notes=notes,
        normalised_by=dataset.normalised_by,
    )


def architecture_of(config: SearchConfig, dataset: Dataset) -> Architecture:
    """Return how to build the config's model for this dataset."""
    return Architecture(config.model, len(dataset.classes), dataset.image_shape[0])


Note = Callable[[str], None]
"""Called with something that the user should know, in one line."""


def say_nothing(_text: str) -> None:
    """Ignore a note: the default of ``note``."""


def load_network(config: SearchConfig, dataset: Dataset, note: Note = say_nothing) -> nn.Module:
    """Build the network, with the config's weights where it names some, and try it once.

    Args:
        config: names model and weights.
        dataset: whose images and classes the network must fit.
        note: called if a weights file holds more than the weights.

    Raises:
        ModelError: the weights cannot be used, or the network does not fit the data.
    """
    return _network(
        architecture_of(config, dataset), config.weights, config.seed, dataset=dataset, note=note
    )


def load_teacher(
    config: SearchConfig, dataset: Dataset, note: Note = say_nothing
) -> nn.Module | None:
    """Build the config's teacher in the same way; None if the baseline is the teacher.

    Raises:
        UserError: as `load_network`; the message begins with ``teacher:``.
    """
    if config.teacher is None:
        return None
    architecture = dataclasses.replace(architecture_of(config, dataset), name=config.teacher)
    try:
        return _network(
            architecture, config.teacher_weights, config.seed, dataset=dataset, note=note
        )
    except UserError as error:
        raise type(error)(f"teacher: {error}") from None


def _network(
    architecture: Architecture, weights: str | None, seed: int, *, dataset: Dataset, note: Note
) -> nn.Module:
    torch.manual_seed(seed)
    network = build(architecture)
    if weights is not None:
        if text := take_weights(network, weights, architecture.name):
            note(f"{called(weights)}: {text}")
    fold_computed_weights(network)
    _try_forward(network, called(architecture.name), dataset)
    return network.eval()


def load_workload(config: SearchConfig, dataset: Dataset, note: Note = say_nothing) -> Workload:
    """Return the workload of a new search; networks without weights are not trained yet.

    Args:
        config: of the search.
        dataset: that it names.
        note: as of `load_network`.

    Raises:
        UserError: the weights or the data cannot be used, or do not fit each other.
    """
    workload = split_workload(config, dataset, load_network(config, dataset, note))
    return dataclasses.replace(workload, teacher=load_teacher(config, dataset, note))


def train_missing(
    workload: Workload, config: SearchConfig, on_epoch: Callable[[str, Epoch], None]
) -> None:
    """Train baseline and teacher in place where the config names no weights for them.

    Args:
        workload: from `load_workload`.
        config: of the search.
        on_epoch: called with ``"baseline"`` or ``"teacher"`` and the epoch.
    """
    if config.weights is None and config.baseline.epochs:
        train_baseline(workload, config, lambda epoch: on_epoch("baseline", epoch))
    if workload.teacher is not None and config.teacher_weights is None:
        teacher = teacher_as_baseline(workload, config)
        train_baseline(teacher, config, lambda epoch: on_epoch("teacher", epoch))


def teacher_as_baseline(workload: Workload, config: SearchConfig) -> Workload:
    """Return the workload with its teacher in the baseline's place."""
    assert workload.teacher is not None and config.teacher is not None
    return dataclasses.replace(
        workload,
        baseline=workload.teacher,
        architecture=dataclasses.replace(workload.architecture, name=config.teacher),
        teacher=None,
    )


def train_baseline(
    workload: Workload, config: SearchConfig, on_epoch: Callable[[Epoch], None]
) -> None:
    """Train the workload's network in place, on one thread.

    One thread gives the same bits whatever the number of cores. It is also faster on a busy
    machine, where two threads of one process wait for each other.

    Raises:
        ConfigError: the learning rate is too high for the network.
    """
    torch.set_num_threads(1)
    try:
        train_network(
            workload.baseline,
            workload,
            config.baseline.train(),
            Teaching(),
            generator=torch.Generator().manual_seed(config.seed),
            hooks=Hooks(on_epoch=on_epoch),
        )
    except NonFiniteError as error:
        name = workload.architecture.name
        raise ConfigError(f"training {name} before the search: {error}: baseline.lr") from error


def reopen_workload(folder: RunFolder, config: SearchConfig) -> Workload:
    """Return the workload of a recorded run: its data and augmentation, and its stored networks.

    Raises:
        RunError: the data or the stored networks have changed since the run.
        UserError: the data cannot be read any more.
    """
    check_code_unchanged(config, folder.manifest["workload"].get("code", {}))
    for name in ("baseline", *(["teacher"] if config.teacher is not None else [])):
        check_stored_network(folder.path, name)
    dataset = load_dataset(config.data)
    recorded = folder.manifest["workload"]
    if recorded.get("validation_source", "val") != "val":
        # A newer version may read a validation split that the run did not have.
        dataset = dataclasses.replace(dataset, validation=None)
    workload = split_workload(config, dataset, load_model(folder.path / "baseline"))
    if config.teacher is not None:
        workload = dataclasses.replace(workload, teacher=load_model(folder.path / "teacher"))
    if augmentation := recorded.get("augmentation"):
        # A newer version may augment differently; all trials of a run use the same.
        workload = dataclasses.replace(workload, augmentation=Augmentation(**augmentation))
    workload = _with_recorded_normalisation(workload, recorded)
    fingerprint = workload_fingerprint(workload)
    if fingerprint != recorded["fingerprint"]:
        raise RunError(
            f"the data of {config.data} has changed since {folder.path} was written, or is read "
            f"differently now (fingerprint {fingerprint[:12]}, recorded "
            f"{recorded['fingerprint'][:12]}); restore the data or start a new search"
        )
    return workload


def _with_recorded_normalisation(workload: Workload, recorded: Mapping[str, Any]) -> Workload:
    """Return the workload with the mean and deviation that the run has recorded.

    Defaults, and the numbers that libraries state for their networks, may change between
    versions. Numbers from the user or the data may not: the fingerprint covers them.
    """
    if recorded.get("normalised_by") in ("option", "data"):
        return workload
    try:
        mean, std = (tuple(map(float, recorded[name])) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError):  # of an older version, or damaged
        return workload
    origin = str(recorded.get("normalised_by", workload.normalised_by))
    return dataclasses.replace(workload, mean=mean, std=std, normalised_by=origin)


def _try_forward(network: nn.Module, name: str, dataset: Dataset) -> None:
    """Run two blank images through the network, so that sizes that do not fit fail here."""
    channels, height, width = dataset.image_shape
    try:
        with torch.no_grad():
            logits = network.eval()(torch.zeros(2, channels, height, width))
    except (Exception, SystemExit) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        size = f"{channels}x{height}x{width}"
        raise ModelError(
            f"{name} cannot run on {size} images: {_channel_words(network, dataset) or reason}"
        ) from None
    if not isinstance(logits, torch.Tensor):
        raise ModelError(f"{name} returns {type(logits).__name__}, expected one tensor of logits")
    if logits.shape != (2, len(dataset.classes)):
        raise ModelError(
            f"{name} returns {tuple(logits.shape[1:])} values an image, "
            f"but the data has {len(dataset.classes)} classes; build it for these (a function of "
            "yours is given num_classes if it takes it)"
        )
    check_network(network, calibration_batch(dataset, IMAGES, "cpu")[0], name)


def _channel_words(network: nn.Module, dataset: Dataset) -> str:
    """Return a reason if the network expects another number of channels; else an empty string."""
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    channels = dataset.image_shape[0]
    if first is None or first.in_channels == channels:
        return ""
    way_out = "let it take in_channels"
    if first.in_channels in (1, 3):
        way_out += f", or convert the images to {first.in_channels}"
        if object_key(split_options(dataset.name)[0]) is None:
            way_out += f": --data '{dataset.name}@channels={first.in_channels}'"
    return f"the model expects {first.in_channels} channels, the data has {channels}; {way_out}"
