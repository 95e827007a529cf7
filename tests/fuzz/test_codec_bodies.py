"""Hostile bodies: a value or a SerializationError, and nothing else."""

from __future__ import annotations

import tracemalloc
from array import array
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import msgspec.msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastmem.codecs import CodecId, FrameCompressor, ValueCodec
from fastmem.codecs.leaves import Kind
from fastmem.codecs.values import FORM_DIRECT, FORM_OPAQUE, FORM_PLAIN
from fastmem.errors import PickleRefusedError, SerializationError

STRICT = ValueCodec(allow_pickle=False)
TRUSTING = ValueCodec()

SHARED: list[Any] = [1, "a"]
SHARED.append(SHARED)
VALUES: list[tuple[object, int]] = [
    (b"raw bytes", FORM_DIRECT),
    ("text \xe9\U0001f600", FORM_DIRECT),
    ({"a": [1, -2, 2**63, 1.5, None, True, b"x"], 7: {"b": "\xe9"}}, FORM_DIRECT),
    ((1, (2, frozenset({(3, (4,))})), {5: {6, (7, ("8",))}}), FORM_PLAIN),
    ([SHARED, {"s": SHARED}, ({"t": (SHARED,)},)], FORM_PLAIN),
    ([2**70, -(2**70), "\ud800", 1j, bytearray(b"x"), array("d", [1.5])], FORM_PLAIN),
    (
        [
            datetime(2024, 2, 29, tzinfo=UTC),
            time(1, 2, tzinfo=timezone(timedelta(hours=1), "CET")),
            date(1, 1, 1),
            timedelta(-1),
            timezone(timedelta(minutes=-5)),
        ],
        FORM_PLAIN,
    ),
    ({"array": np.arange(6, dtype="<i2").reshape(2, 3).T}, FORM_PLAIN),
    (np.arange(6.0).reshape(2, 3), FORM_PLAIN),
    (np.zeros(2, [("a", "<i4"), ("b", "<M8[ns]", (2,))]), FORM_PLAIN),
]
BODIES = [STRICT.encode(value, form) for value, form in VALUES]
PLAIN_CODECS = [codec_id for codec_id in CodecId if codec_id != CodecId.PICKLE]


def assert_value_or_refused(codec_id: int, body: bytes | bytearray) -> None:
    try:
        STRICT.decode(codec_id, memoryview(body))
    except PickleRefusedError:
        raise  # these codecs have nothing to do with pickle
    except SerializationError:
        pass


@given(st.sampled_from(PLAIN_CODECS), st.binary(max_size=200))
@example(CodecId.GRAPH, b"\x92\x91\x00\x91\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00")
def test_random_bytes(codec_id: int, body: bytes) -> None:
    assert_value_or_refused(codec_id, body)


@given(st.sampled_from(BODIES), st.data())
def test_flipped_bits(encoded: tuple[int, bytes], data: st.DataObject) -> None:
    codec_id, body = encoded[0], bytearray(encoded[1])
    for _ in range(data.draw(st.integers(1, 4))):
        bit = data.draw(st.integers(0, 8 * len(body) - 1))
        body[bit // 8] ^= 1 << bit % 8
    assert_value_or_refused(codec_id, body)


@pytest.mark.parametrize(("codec_id", "body"), BODIES)
def test_every_single_flip_and_every_cut(codec_id: int, body: bytes) -> None:
    for bit in range(8 * len(body)):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_value_or_refused(codec_id, flipped)
    for size in range(len(body)):
        assert_value_or_refused(codec_id, body[:size])
    assert_value_or_refused(codec_id, body + b"\x00")


@given(st.sampled_from(BODIES), st.sampled_from(list(CodecId)))
def test_bodies_of_another_codec(encoded: tuple[int, bytes], codec_id: CodecId) -> None:
    if codec_id == CodecId.PICKLE:
        with pytest.raises(PickleRefusedError):
            STRICT.decode(codec_id, encoded[1])
    else:
        assert_value_or_refused(codec_id, encoded[1])


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 20)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=5),
)
NODES = st.lists(st.tuples(st.sampled_from(Kind), st.lists(JSON_LIKE, max_size=9)), max_size=5)


@given(JSON_LIKE, NODES)
def test_graphs_of_well_formed_nonsense(
    root: object, nodes: list[tuple[int, list[object]]]
) -> None:
    table = [root, [[int(kind), *items] for kind, items in nodes]]
    assert_value_or_refused(CodecId.GRAPH, msgspec.msgpack.encode(table))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, "no table of nodes"),
        ([1, [], 2], "no table of nodes"),
        ([[0], []], "KeyError"),
        ([[-1], [[0]]], "KeyError"),
        ([[0], [[]]], "node 0"),
        ([[0], [[99]]], "unknown node"),
        ([[0], [[1, [1]], [1]]], "KeyError"),
        ([[0], [[1, [0]]]], "KeyError"),
        ([[0], [[2, "a"]]], "zip"),
        ([[0], [[2, "a", 1, "a", 2]]], "2 items, of which 1"),
        ([[0], [[2, [1], 1], [0]]], "unhashable"),
        ([[0], [[3, 1, 1]]], "2 items, of which 1"),
        ([[0], [[5, 10**12]]], "in place of bytes"),
        ([[0], [[6, [1]]]], "in place of bytes"),
        ([[0], [[8, "1", 1.0]]], "not floats"),
        ([[0], [[12, 1e300, 0, 0]]], "OverflowError"),
        ([[0], [[14, "d", 4, b""]]], "8 bytes here"),
        ([[0], [[15, ["<f8", [1], "C"], b""]]], "8 bytes in 0"),
        ([[0], [[1, msgspec.msgpack.Ext(5, b"")]]], "extension 5"),
    ],
    ids=repr,
)
def test_malformed_graphs_are_refused_with_the_reason(table: object, reason: str) -> None:
    with pytest.raises(SerializationError, match=reason):
        STRICT.decode(CodecId.GRAPH, msgspec.msgpack.encode(table))


def hashed_chain(kind: Kind, levels: int, width: int) -> bytes:
    """A graph that hashes a tuple of tuples of tuples."""
    nodes: list[list[object]] = [[Kind.TUPLE.value, 0]]
    nodes += [[Kind.TUPLE.value, *[[i] for _ in range(width)]] for i in range(levels)]
    value = [None] if kind == Kind.DICT else []
    nodes.append([kind.value, [levels], *value])
    return msgspec.msgpack.encode([[levels + 1], nodes])


@pytest.mark.parametrize("kind", [Kind.SET, Kind.FROZENSET, Kind.DICT])
def test_tuples_that_would_crash_or_hang_when_hashed_are_refused(kind: Kind) -> None:
    assert STRICT.decode(CodecId.GRAPH, hashed_chain(kind, 900, 1))
    assert STRICT.decode(CodecId.GRAPH, hashed_chain(kind, 10, 2))
    with pytest.raises(SerializationError, match="nested more than 1,000 deep"):
        STRICT.decode(CodecId.GRAPH, hashed_chain(kind, 100_000, 1))
    with pytest.raises(SerializationError, match="items in all"):
        STRICT.decode(CodecId.GRAPH, hashed_chain(kind, 100, 2))


def test_what_would_not_be_decoded_is_not_encoded() -> None:
    deep: tuple[Any, ...] = (0,)
    for _ in range(2_000):
        deep = (deep,)
    assert STRICT.decode(*STRICT.encode([deep], FORM_PLAIN))
    for value in ({deep}, {deep: 1}, frozenset({deep})):
        with pytest.raises(SerializationError, match="nested more than 1,000 deep"):
            STRICT.encode(value, FORM_PLAIN)


@pytest.mark.parametrize(
    ("codec_id", "body"),
    [
        (CodecId.MSGPACK, b"\xdd\xff\xff\xff\xff"),
        (CodecId.MSGPACK, b"\xdf\x0f\xff\xff\xff" * 1000),
        (CodecId.MSGPACK, b"\xc6\xff\xff\xff\xff"),
        (CodecId.MSGPACK, b"\x91" * 100_000),
        (CodecId.GRAPH, b"\x92\xc0\xdd\xff\xff\xff\xff"),
        (CodecId.GRAPH, b"\x92\xc0" + b"\x91" * 100_000),
        (CodecId.ARRAY, b"\xff\xff\xff\xff"),
        (CodecId.PICKLE, b"\xff\xff\xff\xff" + bytes(100)),
        (CodecId.PICKLE, b"\x01\x00\x00\x00" + b"\xff" * 100),
    ],
    ids=repr,
)
def test_claims_of_large_sizes_allocate_nothing(codec_id: CodecId, body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SerializationError):
            TRUSTING.decode(codec_id, body)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec_id", [-1, 0, 8, 65535])
def test_unknown_codecs_are_refused(codec_id: int) -> None:
    with pytest.raises(SerializationError, match=f"unknown codec {codec_id}"):
        STRICT.decode(codec_id, b"")


@dataclass
class Held:
    array: np.ndarray[Any, Any]


# Pickles run what they say: these bodies are cut, and their table damaged, but never the pickle.
PICKLED = [
    TRUSTING.encode(Held(np.arange(count, dtype="<i4")), FORM_OPAQUE)[1] for count in (10, 1000)
]


@pytest.mark.parametrize("body", PICKLED, ids=["in band", "out of band"])
def test_a_cut_pickle_is_refused(body: bytes) -> None:
    for size in range(len(body)):
        with pytest.raises(SerializationError):
            TRUSTING.decode(CodecId.PICKLE, body[:size])
    with pytest.raises(SerializationError, match="left over"):
        TRUSTING.decode(CodecId.PICKLE, body + b"\x00")


@pytest.mark.parametrize("body", PICKLED, ids=["in band", "out of band"])
def test_a_damaged_table_of_a_pickle_is_refused(body: bytes) -> None:
    table = 12 + 8 * int.from_bytes(body[:4], "little")
    for bit in range(8 * table):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SerializationError):
            TRUSTING.decode(CodecId.PICKLE, bytes(flipped))


@given(st.binary(max_size=60), st.integers(0, 10_000))
@example(b"\x28\xb5\x2f\xfd", 0)
def test_random_frames(frame: bytes, size_limit: int) -> None:
    try:
        body = FrameCompressor().decompress(frame, 0, size_limit)
    except SerializationError:
        return
    assert len(body) <= size_limit


def test_every_flip_and_cut_of_a_frame() -> None:
    compressor = FrameCompressor()
    original = b"".join(b"line %d of a text; " % (i * i) for i in range(40))
    frame = compressor.compress(original)
    assert frame is not None
    damaged = [frame[:size] for size in range(len(frame))]
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    refused = 0
    for each in damaged:
        try:
            body = compressor.decompress(each, 0, len(original))
        except SerializationError:
            refused += 1
        else:
            assert len(body) <= len(original)
    assert refused >= len(frame)
