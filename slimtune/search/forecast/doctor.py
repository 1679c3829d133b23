"""Tries every technique on a copy of the network, before a search starts.

Every finding comes from a small trial: the real pipeline on a few images, whose file ONNX Runtime
runs and whose results are compared with the network's. Nothing is trained for accuracy.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from slimtune.compression.distillation import DISTILLATION
from slimtune.compression.distillation.taps import find_levels
from slimtune.compression.network.copies import copied
from slimtune.compression.pruning import PRUNING
from slimtune.compression.pruning.protocol import ChannelPruning
from slimtune.compression.pruning.stage.surgery import (
    check_prunable,
    find_groups,
    unprunable_layers,
)
from slimtune.errors import SlimtuneError, TrialError, in_one_line
from slimtune.measurement.cost import count_cost
from slimtune.results.units import percent, plural
from slimtune.results.units import size as size_text
from slimtune.search.forecast.small_trials import both_logits, few_images, small_trial
from slimtune.spaces.space import METHODS
from slimtune.workload.types import Workload

AMOUNT = 0.3
"""Fraction of channels or weights that is removed."""
WORTH = 0.9
"""A quantizer is useful if its file takes at most this share of the float file."""
LITTLE = 0.5
"""Above this share of the float file, most weights are not integers: 8 bits take a quarter."""
_STAY_FLOAT = "stay float, such as the projections inside nn.MultiheadAttention"

_QUANTIZERS: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "int8, fixed ranges": ({"method": "int8_static"}, ("int8_static",)),
    "int8, ranges at run time": ({"method": "int8_dynamic"}, ("int8_dynamic",)),
    "4 bits, after training": ({"method": "rtn", "bits": 4}, ("rtn", "gpfq")),
    "4 bits, learned": (
        {"method": "lsq", "bits": 4, "epochs": 0},
        ("lsq", "pact", "dorefa", "apot"),
    ),
    "half precision": ({"method": "float16"}, ("float16",)),
}
"""Kind of quantizer -> (settings of the one that is tried first, all methods of that kind)."""


@dataclass(frozen=True)
class Finding:
    """Whether one technique works on the network.

    Attributes:
        stage: ``export``, ``prune``, ``quantize`` or ``distill``.
        what: the technique, in words.
        works: whether a search can use it.
        detail: what came out, or why it does not work.
        methods: the methods of this kind that a search may use.
        unfit: method of this kind that does not fit the network -> why.
    """

    stage: str
    what: str
    works: bool
    detail: str
    methods: tuple[str, ...] = ()
    unfit: dict[str, str] = field(default_factory=dict)


def examine(workload: Workload, among: Container[str] | None = None) -> Iterator[Finding]:
    """Try every technique once, and yield a finding for each.

    Args:
        workload: data and network, trained or not; not modified.
        among: the techniques to try, by their `Finding.what`; None: all. The export is always
            tried, because every technique needs it.
    """
    small = few_images(workload)
    exported = _try_technique("export", "ONNX file", partial(_export, small))
    yield exported
    if not exported.works:
        return
    size = float(len(small_trial(small, {}).onnx))
    for stage, what, trial, methods in _techniques(small, size):
        if among is None or what in among:
            yield _try_technique(stage, what, trial, methods())


_Methods = tuple[tuple[str, ...], dict[str, str]]
"""Methods that fit a network, and those that do not with the reason."""


def _techniques(
    small: Workload, size: float
) -> Iterator[tuple[str, str, Callable[[], str], Callable[[], _Methods]]]:
    """Yield for each technique its stage, its name, its small trial, and its methods."""
    yield "prune", "channels", partial(_prune_channels, small), partial(_channel_methods, small)
    names = tuple(n for n in METHODS["prune"] if n != "none" and PRUNING[n].removes == "weights")
    yield "prune", "single weights", partial(_prune_weights, small, size), partial(_all_fit, names)
    for what, (settings, alike) in _QUANTIZERS.items():
        trial = partial(_quantize, small, settings, size)
        yield "quantize", what, trial, partial(_quantizers, small, settings, alike, size)
    for what, method in (("logits", "base"), ("feature maps", "attention")):
        alike = _distillers(DISTILLATION[method].features != "none")
        yield "distill", what, partial(_distill, small, method), partial(_all_fit, alike)


def _quantizers(
    small: Workload, settings: dict[str, Any], names: tuple[str, ...], size: float
) -> _Methods:
    """Try all quantizers of a kind except for the first, which has been tried."""
    findings = {
        name: _try_technique(
            "quantize", name, partial(_quantize, small, {**settings, "method": name}, size)
        )
        for name in names[1:]
    }
    unfit = {name: finding.detail for name, finding in findings.items() if not finding.works}
    return tuple(name for name in names if name not in unfit), unfit


def _all_fit(methods: tuple[str, ...]) -> _Methods:
    return methods, {}


def _try_technique(
    stage: str,
    what: str,
    trial: Callable[[], str],
    methods: _Methods = ((), {}),
) -> Finding:
    """Run one small trial and turn what it raises into a finding."""
    fit, unfit = methods
    try:
        return Finding(stage, what, True, trial(), fit, unfit)
    except SlimtuneError as error:
        reason = str(error)
    except (Exception, SystemExit) as error:  # torch and ONNX Runtime raise various types
        reason = in_one_line(error)
    return Finding(stage, what, False, reason, (), unfit)


def _export(workload: Workload) -> str:
    outcome = small_trial(workload, {})
    logits, file = both_logits(workload, outcome)
    far = float(np.abs(file - logits).max() / max(np.abs(logits).max(), 1e-30))
    return (
        f"{size_text(len(outcome.onnx))}; on {len(file)} images its logits and the network's "
        f"differ by {far:.1g} of the largest at most"
    )


def _prune_channels(workload: Workload) -> str:
    network, example = copied(workload.baseline, workload.image_shape), _example(workload)
    groups = find_groups(network, example)
    check_prunable(network, example)
    outcome = small_trial(workload, {"prune": {"method": "l1", "amount": AMOUNT, "round_to": 1}})
    before = count_cost(network, workload.image_shape).macs
    after = count_cost(outcome.model, workload.image_shape).macs
    return (
        f"{sum(g.channels for g in groups)} channels in {plural(len(groups), 'group')}; removing "
        f"{percent(AMOUNT)} leaves {percent(after / before)} of the MACs"
        f"{_whole_words(unprunable_layers(network, example))}"
    )


def _whole_words(whole: Mapping[str, str]) -> str:
    """Return the layers that keep all their channels, grouped by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in whole.items():
        reasons.setdefault(why, []).append(name)
    return "".join(
        f"; not pruned: {', '.join(names[:4])}{', …' if len(names) > 4 else ''} ({why})"
        for why, names in reasons.items()
    )


def _channel_methods(workload: Workload) -> _Methods:
    """Return the channel methods that fit the network, and why the others do not."""
    names = [n for n in METHODS["prune"] if n != "none" and PRUNING[n].removes == "channels"]
    unfit: dict[str, str] = {}
    try:
        groups = find_groups(copied(workload.baseline, workload.image_shape), _example(workload))
    except TrialError:
        return (), {}
    for name in names:
        try:
            method = PRUNING[name]()
            if isinstance(method, ChannelPruning):
                method.check(groups)
        except TrialError as error:
            unfit[name] = str(error)
    return tuple(name for name in names if name not in unfit), unfit


def _prune_weights(workload: Workload, size: float) -> str:
    outcome = small_trial(workload, {"prune": {"method": "l1_unstructured", "amount": AMOUNT}})
    cost = count_cost(outcome.model, workload.image_shape)
    share = percent(len(outcome.onnx) / size)
    return f"{percent(cost.sparsity)} of the weights became 0; the file takes {share}"


def _quantize(workload: Workload, settings: dict[str, Any], size: float) -> str:
    outcome = small_trial(workload, {"quantize": settings})
    share = len(outcome.onnx) / size
    if share > WORTH:
        raise TrialError(
            f"the file still takes {percent(share)}: most weights are in layers that {_STAY_FLOAT}"
        )
    text = f"the file takes {percent(share)} of the float one"
    if layers := outcome.float_weights.names:
        text += f"; {percent(outcome.float_weights.share)} of the weights stay float32: {layers}"
    if share > LITTLE and settings["method"] != "float16":
        text += f"; most weights are rounded for nothing, in layers that {_STAY_FLOAT}"
    return text


def _distill(workload: Workload, method: str) -> str:
    train = {"epochs": 1, "batch_size": max(2, len(workload.train) // 2), "lr": 1e-4}
    small_trial(workload, {"distill": {"method": method}, "train": train})
    if method == "base":
        return "two steps ran"
    levels = find_levels(copied(workload.baseline, workload.image_shape), _example(workload))
    sizes = ", ".join(f"{h}x{w} after {span.last.name}" for (h, w), span in levels.items())
    return f"{len(levels)} taps found: {sizes}"


def _distillers(needs_features: bool) -> tuple[str, ...]:
    return tuple(
        name
        for name in METHODS["distill"]
        if name != "none" and (DISTILLATION[name].features != "none") == needs_features
    )


def _example(workload: Workload) -> torch.Tensor:
    return torch.randn(2, *workload.image_shape, generator=torch.Generator().manual_seed(0))
