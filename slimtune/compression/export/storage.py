"""Stores weights of n bits, and weights with many zeros, in as few bytes as possible.

Everything here is undone when a session loads, by constants and standard operators of opset 18
and before, which ONNX Runtime and OpenVINO fold; what runs afterwards is the int8 (or float32)
weight. OpenVINO folds no BitShift, BitwiseAnd or CumSum and ONNX Runtime no NonZero, so that
none of them is used.

Several weights share one *stream*, a flat vector of numbers, so that the operators that unpack
it are in the file once. Integers of 2 to 7 bits are stored as bit planes: number ``i * m + j``
of ``8 * m`` has bit p in bit i of ``bytes[p, 0, j]``, so that

    integers = sum over p of [1, 2, 4, ..., -2^(b-1)][p] * (bytes[p] / [1, 2, ..., 128] mod 2)

whatever b is. Planes take exactly b bits a weight and load in any runtime at opset 18; INT4 and
INT2 initializers would need opset 21 and 25, cover two widths and save nothing. Where integers
do not fit into b bits but are at most 2^b different ones, the planes hold an index into a
codebook.

A stream with many zeros is a bitmap and the numbers that are not 0, which are scattered over it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

MOST_NUMBERS = 2**20
"""Most numbers of a stream: unpacking takes some 16 bytes a bit for a moment."""

_STREAM_BYTES = 500
"""About what the operators of one bitmap take in the file."""

_WORTH = 0.05
"""A bitmap must save this fraction of all weights' bytes: a plain file is the better file."""

_KINDS = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.float32): TensorProto.FLOAT}
_PLACES, _TWO, _FLAT, _AXIS = "unpack:places", "unpack:two", "unpack:flat", "unpack:axis"
_CONSTANTS: dict[str, np.ndarray] = {
    _PLACES: 2 ** np.arange(8, dtype=np.int32).reshape(8, 1),
    _TWO: np.asarray(2, np.int32),
    _FLAT: np.asarray([-1], np.int64),
    _AXIS: np.asarray([0], np.int64),
}


@dataclass(frozen=True)
class Numbers:
    """One weight as the file holds it.

    Attributes:
        values: int8, float16 or float32, of any shape.
        bits: what one of them takes: 2..8, 16 or 32. Integers have 2^bits distinct values at
            most.
    """

    values: np.ndarray
    bits: int

    @property
    def dense_bits(self) -> int:
        """Size with every number stored."""
        return self.values.size * self.bits

    @property
    def sparse_bits(self) -> int:
        """Size as a bitmap and the numbers that are not 0."""
        return self.values.size + self.bits * int(np.count_nonzero(self.values))


def write_numbers(
    numbers: Mapping[str, Numbers], constants: dict[str, np.ndarray], dtype: type[np.generic]
) -> list[NodeProto]:
    """Make every weight available under its name; what it takes is added to ``constants``.

    Args:
        numbers: the weights by the name that is to hold them.
        constants: of the graph.
        dtype: what the names hold: ``np.int8`` or ``np.float32``.

    Returns:
        The nodes that unpack, in order; none for numbers that are stored as they are.
    """
    nodes: list[NodeProto] = []
    sparse = _worth_a_bitmap(numbers)
    streams: list[_Stream] = []
    for name, one in numbers.items():
        if name in sparse or one.bits < 8:
            _place(streams, name, one, name in sparse)
        elif one.values.dtype == dtype:
            constants[name] = one.values
        else:
            constants[f"{name}:stored"] = one.values
            nodes.append(_cast(f"{name}:stored", name, dtype))
    for stream in streams:
        prefix = f"{next(iter(stream.members))}:stream"
        nodes += _Unpacking(constants, np.dtype(dtype), prefix).of(stream)
    return nodes


def _worth_a_bitmap(numbers: Mapping[str, Numbers]) -> set[str]:
    saved = {n: one.dense_bits - one.sparse_bits for n, one in numbers.items()}
    # `_in_eights` may need 7 zeros to fill up the last byte.
    chosen = {n for n, one in numbers.items() if saved[n] > 0 and (one.values == 0).sum() >= 8}
    least = max(8 * _STREAM_BYTES, _WORTH * sum(one.dense_bits for one in numbers.values()))
    return chosen if sum(saved[name] for name in chosen) >= least else set()


@dataclass
class _Stream:
    """Weights that are unpacked together."""

    bits: int
    sparse: bool
    kind: np.dtype[np.generic]
    members: dict[str, np.ndarray] = field(default_factory=dict)
    alphabet: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))

    @property
    def size(self) -> int:
        return sum(values.size for values in self.members.values())

    @property
    def is_plain(self) -> bool:
        """Whether all integers are b-bit integers, so that no codebook is needed."""
        low, high = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return bool(low <= self.alphabet[0] and self.alphabet[-1] <= high)


def _place(streams: list[_Stream], name: str, one: Numbers, sparse: bool) -> None:
    """Add a weight to the first stream that it fits, or to a new one."""
    for stream in streams:
        if (stream.bits, stream.sparse, stream.kind) != (one.bits, sparse, one.values.dtype):
            continue
        if stream.size + one.values.size > MOST_NUMBERS:
            continue
        # Integers that need a codebook may share one, as long as its index fits into the bits.
        joined = _alphabet(stream.alphabet, one)
        if one.bits >= 8 or len(joined) <= 2**one.bits:
            stream.members[name], stream.alphabet = one.values, joined
            return
    alphabet = _alphabet(np.zeros(0, np.int8), one)
    streams.append(_Stream(one.bits, sparse, one.values.dtype, {name: one.values}, alphabet))


def _alphabet(alphabet: np.ndarray, one: Numbers) -> np.ndarray:
    return np.union1d(alphabet, one.values).astype(np.int8) if one.bits < 8 else alphabet


@dataclass
class _Unpacking:
    """Writes the operators of one stream; every value's name begins with ``prefix``."""

    constants: dict[str, np.ndarray]
    dtype: np.dtype[np.generic]
    prefix: str
    nodes: list[NodeProto] = field(default_factory=list)
    count: int = 0

    def of(self, stream: _Stream) -> list[NodeProto]:
        """Return the nodes from the stored bytes to each member under its name and shape."""
        flat = np.concatenate([values.reshape(-1) for values in stream.members.values()])
        if stream.sparse:
            bitmap = _in_eights(flat != 0)
            name = self._scattered(self._dense(stream, flat[bitmap]), bitmap)
        else:
            name = self._dense(stream, flat)
        sizes = [values.size for values in stream.members.values()]
        if flat.size % 8:  # planes hold whole bytes: the last part of the split is padding
            sizes.append(8 - flat.size % 8)
        parts = [name]
        if len(sizes) > 1:
            parts = [self._name() for _ in sizes]
            self.constants[f"{self.prefix}:sizes"] = np.asarray(sizes, np.int64)
            node = helper.make_node("Split", [name, f"{self.prefix}:sizes"], parts, axis=0)
            self.nodes.append(node)
        for part, (member, values) in zip(parts, stream.members.items(), strict=False):
            shape = f"unpack:{'x'.join(map(str, values.shape))}"
            self.constants[shape] = np.asarray(values.shape, np.int64)
            self.nodes.append(helper.make_node("Reshape", [part, shape], [member]))
        return self.nodes

    def _dense(self, stream: _Stream, flat: np.ndarray) -> str:
        """Return the name of ``flat`` in the wanted type, followed by up to 7 zeros."""
        if stream.bits >= 8:
            stored = self._constant("numbers", flat)
            same = flat.dtype == self.dtype
            return stored if same else self._add(_cast(stored, self._name(), self.dtype.type))
        codes = flat if stream.is_plain else np.searchsorted(stream.alphabet, flat)
        bits = self._bits("planes", bit_planes(codes.astype(np.int8), stream.bits))
        values = 2 ** np.arange(stream.bits, dtype=np.int32).reshape(-1, 1, 1)
        if stream.is_plain:  # two's complement
            values[-1] *= -1
        weights = f"unpack:{stream.bits}{'signed' if stream.is_plain else 'unsigned'}"
        self.constants[weights] = values
        weighted = self._node("Mul", [bits, weights])
        total = self._node("ReduceSum", [weighted, self._shared(_AXIS)], keepdims=0)
        total = self._node("Reshape", [total, self._shared(_FLAT)])
        if stream.is_plain:
            return self._add(_cast(total, self._name(), self.dtype.type))
        codebook = self._constant("codebook", stream.alphabet.astype(self.dtype))
        return self._node("Gather", [codebook, total])

    def _scattered(self, kept: str, bitmap: np.ndarray) -> str:
        """Return the name of the numbers in ``kept``, put where the bitmap is 1."""
        bits = self._bits("bitmap", bit_planes(bitmap.astype(np.int8), 1))
        bits = self._node("Reshape", [bits, self._shared(_FLAT)])
        # The k largest of a bitmap are its ones, and of equal values the earlier comes first:
        # NonZero would say the same, but ONNX Runtime does not fold it.
        count = self._constant("count", np.asarray([np.count_nonzero(bitmap)], np.int64))
        ones, places = self._name(), self._name()
        self._add(helper.make_node("TopK", [bits, count], [ones, places], axis=0))
        zeros = self._add(_cast(bits, self._name(), self.dtype.type))
        return self._node("ScatterElements", [zeros, places, kept])

    def _bits(self, label: str, planes: np.ndarray) -> str:
        """Return the name of single bits, int32 (b, 8, m), of stored bytes (b, 1, m)."""
        stored = self._constant(label, planes)
        wide = self._node("Cast", [stored], to=TensorProto.INT32)
        shifted = self._node("Div", [wide, self._shared(_PLACES)])
        return self._node("Mod", [shifted, self._shared(_TWO)])

    def _node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self._add(helper.make_node(kind, inputs, [self._name()], **attributes))

    def _add(self, node: NodeProto) -> str:
        self.nodes.append(node)
        return str(node.output[0])

    def _name(self) -> str:
        self.count += 1
        return f"{self.prefix}:{self.count}"

    def _constant(self, label: str, value: np.ndarray) -> str:
        self.constants[f"{self.prefix}:{label}"] = value
        return f"{self.prefix}:{label}"

    def _shared(self, name: str) -> str:
        self.constants[name] = _CONSTANTS[name]
        return name


def bit_planes(values: np.ndarray, bits: int) -> np.ndarray:
    """Return the low ``bits`` bits of int8 ``values`` (n,) as planes, uint8 (bits, 1, ceil(n/8)).

    Number ``i * m + j``, m = ceil(n/8), has its bit p in bit i of ``planes[p, 0, j]``. Numbers
    beyond n are 0.
    """
    count = -(-values.size // 8)
    padded = np.zeros((8, count), np.uint8)
    padded.reshape(-1)[: values.size] = values.view(np.uint8)
    planes = np.zeros((bits, 1, count), np.uint8)
    for plane in range(bits):
        for place in range(8):
            planes[plane, 0] |= ((padded[place] >> plane) & 1) << place
    return planes


def _in_eights(bitmap: np.ndarray) -> np.ndarray:
    """Return the bitmap with zeros counted in until it keeps whole bytes of every plane."""
    counted = bitmap.copy()
    counted[np.flatnonzero(~bitmap)[: -np.count_nonzero(bitmap) % 8]] = True
    return counted


def _cast(name: str, output: str, dtype: type[np.generic]) -> NodeProto:
    return helper.make_node("Cast", [name], [output], to=_KINDS[np.dtype(dtype)])
