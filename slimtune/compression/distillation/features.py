"""Feature maps of student and teacher, paired level by level."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from slimtune.compression.distillation.protocol import Level
from slimtune.compression.distillation.taps import Size, Span, Tap, find_levels
from slimtune.errors import TrialError

Features = Literal["none", "maps", "channels"]
Align = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Pair:
    """One tap of the student and one of the teacher, with maps of the same height and width.

    Attributes:
        student: of the network in training.
        teacher: of its teacher.
        ours: brings the student's channels to the teacher's.
        theirs: selects the teacher's channels that the student still has.
    """

    student: Tap
    teacher: Tap
    ours: Align
    theirs: Align


class LevelFollower:
    """Holds the feature maps of both networks from the last forward pass.

    The input of a level is the output of the level before it; that of the first level is the
    input of its own module.

    Attributes:
        adapters: modules that bring the student's channels to the teacher's; trained with it.
    """

    def __init__(self, points: Sequence[_Pair] = ()) -> None:
        self._points = points
        self._maps: dict[tuple[str, int], Tensor] = {}
        ours = (point.ours for point in self._points)
        self.adapters: tuple[nn.Module, ...] = tuple(a for a in ours if isinstance(a, nn.Module))

    def levels(self) -> tuple[Level, ...]:
        """Return the levels of the last forward pass of both networks."""
        maps = [
            (point.ours(self._maps["ours", i]), point.theirs(self._maps["theirs", i].detach()))
            for i, point in enumerate(self._points)
        ]
        return tuple(
            Level(student_in, student_out, teacher_in, teacher_out)
            for (student_in, teacher_in), (student_out, teacher_out) in zip(
                maps, maps[1:], strict=False
            )
        )

    @contextmanager
    def following(self, student: nn.Module, teacher: nn.Module) -> Iterator[None]:
        """Record the maps of each forward pass of both networks for the time of the context."""
        taps = [
            (key, network, getattr(point, side))
            for i, point in enumerate(self._points)
            for key, network, side in (
                (("ours", i), student, "student"),
                (("theirs", i), teacher, "teacher"),
            )
        ]
        hooks = [
            network.get_submodule(tap.name).register_forward_hook(_keeper(self._maps, key, tap))
            for key, network, tap in taps
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._maps.clear()


@contextmanager
def follow_levels(
    student: nn.Module,
    teacher: nn.Module | None,
    example: Tensor,
    *,
    features: Features,
    kept: Mapping[str, Sequence[int]],
) -> Iterator[LevelFollower]:
    """Follow the levels of both networks for the time of the context.

    If ``features`` is ``"channels"``, the channels of each pair of maps are made to agree. For a
    student that was cut from the teacher, the teacher's map is reduced to the channels that the
    student kept. Any other pair of different widths gets a learned 1x1 convolution on the
    student's map (Romero et al., "FitNets", ICLR 2015, arXiv:1412.6550), initialised from torch's
    global generator.

    Args:
        student: the network in training.
        teacher: its teacher, or None.
        example: one batch, (n, channels, height, width), on the networks' device.
        features: what the distillation method asks for, see `Distiller`.
        kept: output channels of each pruned layer of the student that stayed.

    Raises:
        TrialError: there are no levels whose maps have the same height and width.
    """
    if features == "none" or teacher is None:
        yield LevelFollower()
        return
    spans = _matching(student, teacher, example)
    lists = kept if _layers(student) == _layers(teacher) else {}
    points = [(spans[0][0].first, spans[0][1].first)]
    points += [(ours.last, theirs.last) for ours, theirs in spans]
    pairs = [
        _pair(ours, theirs, features, kept=lists, device=example.device) for ours, theirs in points
    ]
    follower = LevelFollower(pairs)
    with follower.following(student, teacher):
        yield follower


def check_features(
    student: nn.Module, teacher: nn.Module, example: Tensor, features: Features
) -> None:
    """Check that the two networks have the feature maps that a method asks for.

    Args:
        student: the network to be trained; run once in eval mode, otherwise left as it is.
        teacher: its teacher, likewise.
        example: one batch, (n, channels, height, width), on the networks' device.
        features: what the distillation method asks for, see `Distiller`.

    Raises:
        TrialError: there are no levels whose maps have the same height and width.
    """
    if features != "none":
        _matching(student, teacher, example)


def _matching(student: nn.Module, teacher: nn.Module, example: Tensor) -> list[tuple[Span, Span]]:
    """Return the levels that end with maps of one size, from the largest maps to the smallest."""
    ours, theirs = find_levels(student, example), find_levels(teacher, example)
    if not ours.keys() & theirs.keys():
        raise TrialError(
            "student and teacher need feature maps of the same height and width, but the "
            f"student's are {_sizes(ours)} and the teacher's {_sizes(theirs)}; set distill.method "
            "to those that read logits (base, dkd, dist), or take another student or teacher"
        )
    return [(span, theirs[size]) for size, span in ours.items() if size in theirs]


def _layers(network: nn.Module) -> list[str]:
    """Return the names of the convolutions; the same in a pruned or quantized copy."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def _sizes(spans: Mapping[Size, Span]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in spans) or "none"


def _pair(
    ours: Tap,
    theirs: Tap,
    features: Features,
    *,
    kept: Mapping[str, Sequence[int]],
    device: torch.device,
) -> _Pair:
    """Pair two maps and, for ``"channels"``, make their channels agree.

    ``kept`` is empty unless the student is a copy of the teacher's architecture.
    """
    if features == "maps":
        return _Pair(ours, theirs, _as_it_is, _as_it_is)
    indices = kept.get(ours.producer, ())
    whole = ours.producer == theirs.producer and theirs.channels == theirs.producer_channels
    if whole and indices and len(indices) == ours.channels and max(indices) < theirs.channels:
        selected = torch.tensor(list(indices), device=device)
        return _Pair(ours, theirs, _as_it_is, lambda maps: maps.index_select(1, selected))
    if ours.channels == theirs.channels:
        return _Pair(ours, theirs, _as_it_is, _as_it_is)
    adapter = nn.Conv2d(ours.channels, theirs.channels, 1)
    return _Pair(ours, theirs, adapter.to(device), _as_it_is)


def _as_it_is(maps: Tensor) -> Tensor:
    return maps


def _keeper(
    maps: dict[tuple[str, int], Tensor], key: tuple[str, int], tap: Tap
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """Return a hook that keeps what ``tap`` reads or gives."""

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        value = inputs[0] if tap.reads else output
        # A module that is called at several resolutions, such as a shared ReLU, has many outputs.
        if value.shape[-2:] == tap.size:
            maps[key] = value

    return keep
