"""How a value can be serialised: direct, plain or opaque."""

import collections
import datetime
import decimal
import enum
import sys
import zoneinfo
from array import array
from typing import Any

import numpy
import pytest

from fastmem._core.sizing import FORM_DIRECT, FORM_OPAQUE, FORM_PLAIN, deep_size, measure


def nested(depth: int, make: type = list) -> object:
    value = make()
    for i in range(depth - 1):
        value = [value] if make is list else {str(i): value}
    return value


def twice(part: object) -> list[object]:
    return [part, part]


def loop() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Level(enum.IntEnum):
    LOW = 1


class Array(numpy.ndarray):
    pass


UTC = datetime.UTC
DIRECT = [
    None, True, 1, -(2**63), 2**64 - 1, 0.5, float("nan"), "", "text", "é", "日本\U0001f600", b"",
    [], {}, [1, [2, {"a": None}]], {"a": 1, 2: "b", -(2**63): []}, nested(100), nested(100, dict),
    ["same", "same"], twice("shared text" * 9), twice(2**63), twice(b"shared"), [1.5] * 3,
]  # fmt: skip
PLAIN = [
    2**64, -(2**63) - 1, [2**64], "\ud800", ["a", "\udfff"], {"\ud800": 1}, (), (1,), [()],
    {1, 2}, frozenset("a"), bytearray(b"a"), 1j,
    {1.5: 1}, {None: 1}, {True: 1}, {b"k": 1}, {(1, 2): 3}, {2**64: 1}, {frozenset(): 1},
    nested(101), nested(101, dict), nested(300), twice([]), twice({}), loop(), twice((1,)),
    datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC),
    datetime.time(1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    datetime.date(2024, 1, 1), datetime.timedelta(1), UTC,
    array("d", [1.0]), numpy.zeros(3), numpy.zeros(30)[3:], numpy.frombuffer(b"12345678"),
    numpy.zeros(3, dtype=[("a", "i4"), ("b", "f8")]), numpy.array(["a"]),
    numpy.ndarray(3, buffer=memoryview(bytearray(24))),
]  # fmt: skip
Pair = collections.namedtuple("Pair", "a")
OPAQUE: list[object] = [
    object(), int, len, sys, Text("a"), Number(1), Level.LOW, [Level.LOW], {Text("a"): 1},
    collections.OrderedDict(), collections.deque(), Pair(1),
    collections.defaultdict(int), decimal.Decimal(1), range(3), memoryview(b"a"), ..., slice(1),
    datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    datetime.time(1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    numpy.array([1, "a"], dtype=object), numpy.float64(1), numpy.zeros(3).view(Array),
    numpy.zeros(1, dtype=[("a", object)]), (1, object()), [int], {"f": len}, ValueError("x"),
    iter([]), (i for i in "a"), lambda: 1, [{1, (2, Number(3))}],
]  # fmt: skip


@pytest.mark.parametrize("value", DIRECT, ids=lambda v: type(v).__name__)
def test_direct(value: Any) -> None:
    assert measure(value) == (deep_size(value), FORM_DIRECT)


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: type(v).__name__)
def test_plain(value: Any) -> None:
    assert measure(value) == (deep_size(value), FORM_PLAIN)


@pytest.mark.parametrize("value", OPAQUE, ids=lambda v: type(v).__name__)
def test_opaque(value: Any) -> None:
    assert measure(value) == (deep_size(value), FORM_OPAQUE)


@pytest.mark.parametrize("value", OPAQUE, ids=lambda v: type(v).__name__)
def test_one_opaque_part_makes_the_whole_opaque(value: Any) -> None:
    assert measure([1, {"a": [(), value]}])[1] == FORM_OPAQUE


def test_the_owner_of_a_borrowed_buffer_does_not_matter() -> None:
    """What gets written is the array; that its bytes lie in something odd is no obstacle."""
    import mmap

    with mmap.mmap(-1, 4096) as memory:
        view = numpy.frombuffer(memory)
        assert measure([view])[1] == FORM_PLAIN
        del view
