"""Plain values come back exactly: types, order, sharing, cycles; never through pickle."""

from __future__ import annotations

import math
import pickle
import struct
from array import array
from datetime import UTC, date, datetime, time, timedelta, timezone
from types import NoneType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmem.codecs import CodecId, ValueCodec
from fastmem.codecs.values import FORM_DIRECT, FORM_OPAQUE, FORM_PLAIN

# It cannot pickle: whatever passes through it did without.
CODEC = ValueCodec(allow_pickle=False)


def form_of(value: object) -> int:
    """The form of a plain value, the slow and obvious way."""
    met: set[int] = set()

    def is_direct(item: Any, depth: int) -> bool:
        kind = type(item)
        if kind in (list, dict):
            if id(item) in met or depth == 100:
                return False
            met.add(id(item))
            if kind is list:
                return all(is_direct(inner, depth + 1) for inner in item)
            return all(
                type(key) in (str, int) and is_direct(key, depth) and is_direct(inner, depth + 1)
                for key, inner in item.items()
            )
        if kind is int:
            return bool(-(2**63) <= item < 2**64)
        if kind is str:
            return not any("\ud800" <= character <= "\udfff" for character in item)
        return kind in (NoneType, bool, float, bytes)

    return FORM_DIRECT if is_direct(value, 0) else FORM_PLAIN


def print_of(value: Any) -> object:
    """What makes two plain values without mutable parts the same, types and bits included."""
    kind = type(value)
    if kind is tuple:
        return kind, tuple(print_of(item) for item in value)
    if kind is frozenset:
        return kind, sorted(repr(print_of(item)) for item in value)
    if kind is float:
        return kind, struct.pack("d", value)
    if kind is complex:
        return kind, struct.pack("2d", value.real, value.imag)
    if kind is array:
        return kind, value.typecode, value.tobytes()
    return kind, repr(value)


def assert_same(one: Any, other: Any) -> None:
    """Exactly equal, walked without recursion; what is shared in one is shared in the other."""
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        assert type(left) is type(right)
        if type(left) in (list, dict, set, tuple, bytearray) and left != ():
            met = id(left) in there
            assert there.setdefault(id(left), id(right)) == id(right)
            assert back.setdefault(id(right), id(left)) == id(left)
            if met:
                continue
        if type(left) is dict:
            waiting += zip(left.keys(), right.keys(), strict=True)
            waiting += zip(left.values(), right.values(), strict=True)
        elif type(left) in (list, tuple):
            waiting += zip(left, right, strict=True)
        elif type(left) is set:
            assert print_of(frozenset(left)) == print_of(frozenset(right))
        else:
            assert print_of(left) == print_of(right)


def round_trip(value: object) -> Any:
    codec_id, body = CODEC.encode(value, form_of(value))
    assert type(body) is bytes
    assert codec_id != CodecId.PICKLE
    return CODEC.decode(codec_id, memoryview(body))


OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
ZONES = st.just(UTC) | st.builds(timezone, OFFSETS, st.text(max_size=3))
ZONES = ZONES | st.builds(timezone, OFFSETS)
TEXTS = st.text(max_size=8) | st.text(st.characters(categories=["Cs", "L"]), max_size=3)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**40, -(2**200)])
    | st.floats()
    | TEXTS
    | st.binary(max_size=8)
)
HASHABLE_LEAVES = (
    ATOMS
    | st.complex_numbers()
    | st.datetimes(timezones=st.none() | ZONES)
    | st.dates()
    | st.times(timezones=st.none() | ZONES)
    | st.timedeltas()
    | ZONES
)
HASHABLES = st.recursive(
    HASHABLE_LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
LEAVES = (
    HASHABLE_LEAVES
    | st.binary(max_size=8).map(bytearray)
    | st.lists(st.floats(), max_size=4).map(lambda items: array("d", items))
    | st.lists(st.integers(0, 255), max_size=4).map(lambda items: array("H", items))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLES, inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.sets(HASHABLES, max_size=4)
        | st.frozensets(HASHABLES, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_a_plain_value_comes_back_exactly(value: object) -> None:
    assert_same(value, round_trip(value))


@given(VALUES)
def test_a_careless_form_costs_no_exactness(value: object) -> None:
    for form in (FORM_PLAIN, FORM_OPAQUE):
        codec_id, body = CODEC.encode(value, form)
        assert_same(value, CODEC.decode(codec_id, body))


@given(st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_json_like_values_survive_an_optimistic_form(value: object) -> None:
    codec_id, body = CODEC.encode(value, FORM_DIRECT)
    assert_same(value, CODEC.decode(codec_id, body))


@st.composite
def tangles(draw: st.DrawFn) -> object:
    """Lists, dicts and tuples that refer to each other at will, cycles included."""
    shells: list[Any] = draw(st.lists(st.sampled_from([list, dict]).map(lambda new: new())))
    parts: list[Any] = [*shells, 1, "a", 2**70, bytearray(b"x")]
    for _ in range(draw(st.integers(0, 5))):
        parts.append(tuple(draw(st.lists(st.sampled_from(parts), max_size=4))))
    for shell in shells:
        items = draw(st.lists(st.sampled_from(parts), max_size=4))
        if type(shell) is list:
            shell.extend(items)
        else:
            shell.update(enumerate(items))
    return draw(st.sampled_from([parts, parts[-1], parts[0]]))


@given(tangles())
def test_shared_and_cyclic_containers_keep_their_shape(value: object) -> None:
    assert_same(value, round_trip(value))


@pytest.mark.parametrize(
    ("value", "codec_id"),
    [
        (b"", CodecId.RAW_BYTES),
        (b"a", CodecId.RAW_BYTES),
        ("\xe9", CodecId.TEXT),
        ("\ud800", CodecId.GRAPH),
        (None, CodecId.MSGPACK),
        (2**64 - 1, CodecId.MSGPACK),
        (2**64, CodecId.GRAPH),
        ({"a": [1, 2.0, None]}, CodecId.MSGPACK),
        ({"a": (1,)}, CodecId.GRAPH),
        ({1: 1, "1": 2}, CodecId.MSGPACK),
        ({True: 1}, CodecId.GRAPH),
        (bytearray(), CodecId.GRAPH),
    ],
)
def test_the_codec_follows_from_the_value(value: object, codec_id: CodecId) -> None:
    assert CODEC.encode(value, form_of(value))[0] == codec_id
    assert_same(value, round_trip(value))


def test_codec_ids_are_those_of_the_file_format() -> None:
    assert {codec.name: codec.value for codec in CodecId} == {
        "RAW_BYTES": 1,
        "TEXT": 2,
        "MSGPACK": 3,
        "GRAPH": 4,
        "ARRAY": 5,
        "PICKLE": 6,
        "CUSTOM": 7,
    }


def test_a_body_of_the_graph_codec_reads_as_documented() -> None:
    # in MessagePack: [[0], [[TUPLE, 1, "a"]]]
    assert CODEC.encode((1, "a"), FORM_PLAIN) == (4, b"\x92\x91\x00\x91\x93\x01\x01\xa1a")


def test_bits_of_floats_survive() -> None:
    (quiet,) = struct.unpack("d", struct.pack("Q", 0x7FF8_0000_0000_BEEF))
    value = (-0.0, math.inf, -math.nan, quiet, complex(-0.0, -0.0), [quiet])
    assert_same(value, round_trip(value))


def test_depth_is_bounded_by_memory_alone() -> None:
    lists: list[Any] = []
    tuples: tuple[Any, ...] = ()
    for _ in range(50_000):
        lists = [lists]
        tuples = (tuples,)
    assert_same([lists, tuples], round_trip([lists, tuples]))


def test_each_decode_gives_a_value_of_its_own() -> None:
    value = {"list": [1], "set": {1}, "bytes": bytearray(b"a"), "array": array("d", [1.0])}
    codec_id, body = CODEC.encode(value, FORM_PLAIN)
    one: Any = CODEC.decode(codec_id, body)
    one["list"].append(2)
    one["set"].add(2)
    one["bytes"].append(2)
    one["array"].append(2.0)
    assert_same(value, CODEC.decode(codec_id, body))


def test_nothing_decoded_refers_to_the_body() -> None:
    for value in (b"abc", "abc", [b"abc"], (b"abc", bytearray(b"abc"))):
        codec_id, body = CODEC.encode(value, form_of(value))
        memory = bytearray(body)
        decoded = CODEC.decode(codec_id, memoryview(memory).toreadonly())
        memory[:] = bytes(len(memory))
        memory.append(0)  # BufferError if anything still held the memory
        assert_same(value, decoded)


def test_plain_values_never_meet_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("dumps", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    value = {(1, frozenset({2})): {3, 2**90}, "when": [datetime(2024, 2, 29), date.min, time.max]}
    codec_id, body = ValueCodec().encode(value, FORM_PLAIN)
    assert_same(value, ValueCodec().decode(codec_id, body))
