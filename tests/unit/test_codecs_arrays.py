"""numpy arrays without objects: bit for bit, without pickle, in a buffer that is aligned."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from fastmem.codecs import CodecId, ValueCodec
from fastmem.codecs.values import FORM_OPAQUE, FORM_PLAIN
from fastmem.errors import PickleRefusedError, SerializationError

CODEC = ValueCodec(allow_pickle=False)
PLAIN_DTYPES = (
    nps.scalar_dtypes() | nps.unicode_string_dtypes(max_len=4) | nps.byte_string_dtypes(max_len=4)
)
DTYPES = PLAIN_DTYPES | nps.nested_dtypes(PLAIN_DTYPES)

GAPPED = np.dtype(
    {"names": ["a", "b"], "formats": ["<i2", ">f8"], "offsets": [3, 8], "itemsize": 24}
)
OVERLAID = np.dtype({"names": ["word", "low"], "formats": ["<u4", "u1"], "offsets": [0, 0]})
TITLED = np.dtype([(("a title", "a"), "<i4"), ("b", "<M8[ns]", (2, 3))])
ALIGNED = np.dtype([("a", "u1"), ("b", "<f8"), ("c", [("d", "<i2"), ("e", "?")])], align=True)


def assert_same(one: np.ndarray[Any, Any], other: Any) -> None:
    assert type(other) is np.ndarray
    assert one.dtype == other.dtype
    assert one.dtype.isalignedstruct == other.dtype.isalignedstruct
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()
    assert one.flags.c_contiguous <= other.flags.c_contiguous
    assert one.flags.f_contiguous <= other.flags.f_contiguous
    assert other.flags.writeable
    assert other.flags.owndata


def round_trip(array: np.ndarray[Any, Any]) -> Any:
    codec_id, body = CODEC.encode(array, FORM_PLAIN)
    assert codec_id == CodecId.ARRAY
    return CODEC.decode(codec_id, memoryview(body))


@given(nps.arrays(DTYPES, nps.array_shapes(min_dims=0, min_side=0, max_side=3)))
def test_any_array_comes_back(array: np.ndarray[Any, Any]) -> None:
    assert_same(array, round_trip(array))
    nested: Any = CODEC.decode(*CODEC.encode((array,), FORM_PLAIN))
    assert_same(array, nested[0])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(24.0)[::-2],
        np.arange(24.0).reshape(4, 6)[1:3, ::2],
        np.broadcast_to(np.float32(1.5), (3, 2)),
        np.array(7, ">i8"),
        np.zeros((0, 3), "<f4"),
        np.zeros((3, 0, 2), "<M8[25s]"),
        np.array(["NaT", "2024-02-29"], "<M8[D]"),
        np.array([1, 2], ">m8[ms]"),
        np.array(["", "\ud83d\ude00"[:1]], "<U2"),
        np.zeros(2, "<U0"),
        np.zeros(2, GAPPED),
        np.ones(2, OVERLAID),
        np.ones((2, 2), TITLED),
        np.ones(3, ALIGNED),
        np.ones(2, np.longdouble) / 3,
        np.ones(2, np.clongdouble) / 3,
        np.array([np.nan, -0.0, np.inf], "<f2"),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_awkward_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    before = array.tobytes()
    assert_same(array, round_trip(array))
    assert array.tobytes() == before


@given(st.integers(0, 40), st.sampled_from([np.dtype("<f8"), ALIGNED, TITLED, GAPPED]))
def test_the_elements_lie_64_byte_aligned_at_the_end_of_the_body(
    count: int, dtype: np.dtype[Any]
) -> None:
    array = np.frombuffer(bytes(range(256)) * 24, np.uint8)[: count * dtype.itemsize].view(dtype)
    _, body = CODEC.encode(array, FORM_PLAIN)
    assert (len(body) - array.nbytes) % 64 == 0
    assert body.endswith(array.tobytes())


@pytest.mark.parametrize(
    "array",
    [
        np.array([None, 1], object),
        np.zeros(2, [("a", "<i4"), ("b", object)]),
        np.zeros(2, np.dtype("<f8", metadata={"unit": "m"})),
        np.zeros(2, [("a", np.dtype("<f8", metadata={"unit": "m"}))]),
        np.zeros(2, [("\ud800", "<f8")]),
    ],
    ids=["objects", "a field of objects", "metadata", "metadata of a field", "surrogates"],
)
def test_arrays_that_cannot_be_described_are_pickled_or_refused(
    array: np.ndarray[Any, Any],
) -> None:
    for form in (FORM_PLAIN, FORM_OPAQUE):
        assert ValueCodec().encode(array, form)[0] == CodecId.PICKLE
        with pytest.raises(PickleRefusedError, match=r"^value: numpy dtype .* needs pickle"):
            CODEC.encode(array, form)
        with pytest.raises(PickleRefusedError, match=r"^value\['a'\]\[1\]: numpy dtype"):
            CODEC.encode({"a": (1, array)}, form)


def test_subclasses_are_not_taken_for_arrays() -> None:
    masked = np.ma.masked_array([1, 2], [True, False])
    with pytest.raises(PickleRefusedError, match="MaskedArray"):
        CODEC.encode(masked, FORM_PLAIN)


def body_of(header: object, elements: bytes) -> bytes:
    from msgspec.msgpack import encode

    packed = encode(header)
    head = len(packed).to_bytes(4, "little") + packed
    return head + bytes(-len(head) % 64) + elements


def test_a_body_reads_as_documented() -> None:
    array = np.arange(6, dtype="<i2").reshape(2, 3)
    assert CODEC.encode(array, FORM_PLAIN)[1] == body_of(["<i2", [2, 3], "C"], array.tobytes())
    assert CODEC.encode(array.T, FORM_PLAIN)[1] == body_of(["<i2", [3, 2], "F"], array.tobytes())


@pytest.mark.parametrize(
    "header",
    [
        ["|O", [1], "C"],
        ["O", [1], "C"],
        [["struct", 8, False, [["a", "|O8", 0]]], [1], "C"],
        ["<f8,<f8", [1], "C"],
        ["<f8", [-1], "C"],
        ["<f8", [2], "C"],
        ["<f8", [1.0], "C"],
        ["<f8", [1 << 62, 1 << 62], "C"],
        ["<f8", [1], "K"],
        ["<f8", 1, "C"],
        ["<f8", [1]],
        [["long", "<f16", 1], [1], "C"],
        [["sub", "<f8", [1 << 40]], [1], "C"],
        [["struct", 1, False, [["a", "<f8", 0]]], [8], "C"],
        [["struct", 8, False, [["a"]]], [1], "C"],
        [["struct", 8, False, [["a", "<f8", -8]]], [1], "C"],
        None,
    ],
    ids=repr,
)
def test_headers_that_describe_no_array_are_refused(header: object) -> None:
    with pytest.raises(SerializationError):
        CODEC.decode(CodecId.ARRAY, body_of(header, bytes(8)))


def test_elements_that_are_cut_or_too_many_are_refused() -> None:
    _, body = CODEC.encode(np.arange(10.0), FORM_PLAIN)
    for size in range(len(body)):
        with pytest.raises(SerializationError):
            CODEC.decode(CodecId.ARRAY, body[:size])
    with pytest.raises(SerializationError, match="80 bytes in 81"):
        CODEC.decode(CodecId.ARRAY, body + b"\x00")


def test_numpy_is_imported_only_for_arrays() -> None:
    script = """
import sys
from fastmem.codecs import ValueCodec
codec = ValueCodec()
for form in (0, 1, 2):
    codec.decode(*codec.encode({"a": [1, (2,), {3}]} if form != 1 else {"a": 1}, form))
assert "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
