from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from slimtune.compression.export.storage import (
    MOST_NUMBERS,
    Numbers,
    bit_planes,
    write_numbers,
)


def unpacked(
    numbers: Mapping[str, Numbers], dtype: type[np.generic]
) -> tuple[dict[str, np.ndarray], onnx.ModelProto]:
    """Write the numbers and let ONNX Runtime read them back."""
    constants: dict[str, np.ndarray] = {}
    nodes = write_numbers(numbers, constants, dtype)
    kind = TensorProto.INT8 if dtype is np.int8 else TensorProto.FLOAT
    nodes += [helper.make_node("Identity", [name], [f"{name}:out"]) for name in numbers]
    graph = helper.make_graph(
        nodes,
        "unpack",
        [],
        [
            helper.make_tensor_value_info(f"{name}:out", kind, one.values.shape)
            for name, one in numbers.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return dict(zip(numbers, session.run(None, {}), strict=True)), model


def integers(bits: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    low, high = max(-127, -(2 ** (bits - 1))), 2 ** (bits - 1)
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int8)


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_every_width_comes_back_as_it_was(bits: int, dtype: type[np.generic]) -> None:
    numbers = {
        "odd": Numbers(integers(bits, (3, 5, 1, 3)), bits),
        "linear": Numbers(integers(bits, (10, 7), 1), bits),
        "one": Numbers(integers(bits, (1, 1), 2), bits),
    }
    found, _ = unpacked(numbers, dtype)
    for name, one in numbers.items():
        assert found[name].dtype == dtype
        assert np.array_equal(found[name], one.values)


@settings(max_examples=25)
@given(st.integers(2, 7), st.integers(1, 70), st.integers(0, 2**16), st.booleans())
def test_any_2_to_the_b_values_come_back(bits: int, size: int, seed: int, sparse: bool) -> None:
    draw = np.random.default_rng(seed)
    book = draw.choice(np.arange(-127, 128), 2**bits, replace=False).astype(np.int8)
    values = draw.choice(book, (size, 60))
    if sparse:
        book[0] = 0
        values = draw.choice(book, (size, 60)) * (draw.random((size, 60)) < 0.2)
    found, _ = unpacked({"w": Numbers(values.astype(np.int8), bits)}, np.int8)
    assert np.array_equal(found["w"], values)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_sparse_floats_come_back_in_a_bit_a_zero(kind: type[np.generic]) -> None:
    draw = np.random.default_rng(0)
    values = (draw.normal(size=(64, 33, 3)) * (draw.random((64, 33, 3)) < 0.1)).astype(kind)
    width = values.itemsize
    found, model = unpacked({"w": Numbers(values, 8 * width)}, np.float32)
    assert np.array_equal(found["w"], values.astype(np.float32))
    most = values.size / 8 + width * (np.count_nonzero(values) + 8) + 1300
    assert model.ByteSize() < most


def test_dense_numbers_of_8_16_and_32_bits_stay_as_they_are() -> None:
    dense = {
        "a": Numbers(integers(8, (40, 40)) | 1, 8),
        "b": Numbers(np.ones((40, 40), np.float16), 16),
        "c": Numbers(np.ones((40, 40), np.float32), 32),
    }
    constants: dict[str, np.ndarray] = {}
    nodes = write_numbers({"a": dense["a"]}, constants, np.int8)
    assert nodes == [] and list(constants) == ["a"]
    nodes = write_numbers({"b": dense["b"], "c": dense["c"]}, constants, np.float32)
    assert [node.op_type for node in nodes] == ["Cast"]


def test_a_few_zeros_are_not_worth_a_bitmap() -> None:
    values = np.ones((100, 100), np.float32)
    values[:3] = 0
    constants: dict[str, np.ndarray] = {}
    assert write_numbers({"w": Numbers(values, 32)}, constants, np.float32) == []


def test_weights_of_one_width_share_their_operators() -> None:
    few = {str(i): Numbers(integers(3, (8, 8), i), 3) for i in range(2)}
    many = {str(i): Numbers(integers(3, (8, 8), i), 3) for i in range(9)}
    lengths = [len(write_numbers(numbers, {}, np.int8)) for numbers in (few, many)]
    assert lengths[1] - lengths[0] == 9 - 2  # a Reshape each


def test_a_stream_is_limited_because_unpacking_takes_memory() -> None:
    half = np.ones((1, MOST_NUMBERS // 2 + 8), np.int8)
    nodes = write_numbers({name: Numbers(half, 2) for name in "ab"}, {}, np.int8)
    assert sum(node.op_type == "ReduceSum" for node in nodes) == 2


def test_bit_planes_by_hand() -> None:
    values = np.array([1, -2, 0, 1, 1, 0, 0, 0, -1], np.int8)  # nine: two columns, strided
    planes = bit_planes(values, 2)
    # place i of column j is number 2 i + j; the low bits are 1 0 0 1 1 0 0 0 1, the high 0 1 ... 1
    assert planes.shape == (2, 1, 2)
    assert planes[0, 0].tolist() == [0b10101, 0b00010]
    assert planes[1, 0].tolist() == [0b10000, 0b00001]
