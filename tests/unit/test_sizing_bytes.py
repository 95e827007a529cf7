"""Deep sizes against a slow oracle that says the same in plain Python."""

import collections
import ctypes
import dataclasses
import datetime
import enum
import gc
import json
import sys
import types
from array import array
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmem._core.sizing import deep_size

HEAP_TYPE, MANAGED_DICT = 1 << 9, 1 << 4
PROGRAM = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType)
CONTAINERS = (list, tuple, set, frozenset, collections.deque)


def parts(value: Any) -> tuple[list[Any], int]:
    """What a value leads to, and the bytes of attribute values that have no dict."""
    if isinstance(value, numpy.ndarray):
        base = [] if value.base is None else [value.base]
        return [*base, *(value.flat if value.dtype == object else ())], 0
    if isinstance(value, memoryview):
        return [value.obj], 0
    found, extra = [], 0
    if isinstance(value, dict):
        found += [*value.keys(), *value.values()]
    if type(value) in CONTAINERS:
        found += value
    elif type(value).__flags__ & HEAP_TYPE or isinstance(value, types.SimpleNamespace):
        referents = gc.get_referents(value)
        found += referents
        if type(value).__flags__ & MANAGED_DICT:
            extra = 8 * len(referents)
    return found, extra


def oracle(value: object) -> int:
    total, seen, todo = 0, {}, [value]
    while todo:
        each = todo.pop()
        if id(each) in seen or (isinstance(each, PROGRAM) and each is not value):
            continue
        seen[id(each)] = each
        found, extra = parts(each)
        total += (sys.getsizeof(each) + 7) // 8 * 8 + extra
        todo += found
    return total


def grown() -> list[Any]:
    """A list with room to spare."""
    value = list(range(76))
    value.append(76)
    assert sys.getsizeof(value) > sys.getsizeof(value[:])
    return value


class Plain:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class TwoAttributes:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y


class Slots:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class SlotsAndDict(Slots):
    pass


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float
    y: list[Any]


Pair = collections.namedtuple("Pair", "a b")


class MyDict(dict[Any, Any]):
    pass


class MyList(list[Any]):
    pass


def materialized() -> object:
    value = TwoAttributes([1.5], "text")
    assert value.__dict__
    return value


def shared() -> object:
    part = [1.5, 2.5]
    return [part, part, {"again": part}, (part,)]


def cyclic() -> object:
    loop: list[Any] = []
    loop.append(loop)
    return {"loop": loop, "pair": (loop, loop)}


def utf8_cached() -> object:
    """A string that also carries its UTF-8 form, as after many a call of C code."""
    text = "é" * 100 + "日"
    bare = sys.getsizeof(text)
    ctypes.pythonapi.PyUnicode_AsUTF8(ctypes.py_object(text))
    assert sys.getsizeof(text) > bare
    return text


SAMPLES: dict[str, list[Any]] = {
    "scalars": [None, True, False, 0, 1, -1, 2**29, 2**30, 2**60, -(2**200), 1.5, 2j, ...],
    "text": ["", "a", "é", "日本", "\U0001f600", "x" * 1000, "é" * 99, "日" * 99, utf8_cached()],
    "bytes": [b"", b"abc", bytes(1000), bytearray(), bytearray(b"x" * 77)],
    "lists": [[], [1], [[1.5], [2.5]], list(range(100)), [0] * 1000],
    "grown list": [grown()],
    "tuples": [(), (1,), ((1.5, "a"), (2.5, "b"))],
    "dicts": [{}, {"a": 1}, {i: str(i) for i in range(300)}, {(1, 2): {3: [4]}}],
    "sets": [set(), {1, 2}, frozenset(), frozenset({"a", (1, 2.5)}), {str(i) for i in range(50)}],
    "collections": [
        collections.deque([[1], [2]]),
        collections.OrderedDict(a=[1.5]),
        collections.defaultdict(list, a=[1.5]),
        collections.Counter("mississippi"),
        Pair([1.5], "b"),
        MyDict(a=[1.5]),
        MyList([[1.5]]),
    ],
    "instances": [
        Plain(a=[1.5], b="text"),
        TwoAttributes([1.5], "t" * 50),
        materialized(),
        Slots([1.5], None),
        SlotsAndDict([1.5], 2),
        Point(1.5, [2.5]),
        Colour.RED,
        object(),
        types.SimpleNamespace(a=[1.5]),
    ],
    "program": [len, oracle, json, oracle.__code__, [int, len, oracle, json]],
    "times": [
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        datetime.date(2024, 1, 1),
        datetime.time(1),
        datetime.timedelta(1),
        datetime.UTC,
    ],
    "arrays": [array("d", range(100)), array("b"), numpy.zeros(1000), numpy.float64(1)],
    "borrowed": [
        memoryview(bytes(1000)),
        numpy.zeros(1000)[10:],
        numpy.zeros((10, 10)).T[2:],
        numpy.frombuffer(bytes(800)),
        numpy.frombuffer(bytes(800))[5:],
        [numpy.arange(100)[i:] for i in range(10)],
    ],
    "arrays of objects": [numpy.array([[1.5], "text", None], dtype=object)],
    "shared": [shared(), cyclic()],
}
CASES = [(name, i) for name, group in SAMPLES.items() for i in range(len(group))]


@pytest.mark.parametrize(("name", "i"), CASES)
def test_samples_measure_as_the_oracle_says(name: str, i: int) -> None:
    value = SAMPLES[name][i]
    assert deep_size(value) == oracle(value)
    assert deep_size([value, value]) == oracle([value, value])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=60,
)


@given(JSON)
def test_documents_measure_as_the_oracle_says(value: Any) -> None:
    assert deep_size(value) == oracle(value)


def test_views_of_one_base_count_it_once() -> None:
    base = numpy.zeros(100_000)
    views = [base[i:] for i in range(100)]
    assert deep_size(views) < 1.05 * base.nbytes


def test_wide_and_deep_documents_fit_no_inline_buffer() -> None:
    wide = [[str(i), float(i), {"k": [i]}] for i in range(20_000)]
    assert deep_size(wide) == oracle(wide)
    deep: list[Any] = []
    for i in range(100_000):
        deep = [deep, float(i)]
    assert deep_size(deep) == oracle(deep)
    while deep:
        deep = deep[0]


def test_measuring_changes_nothing_about_an_instance() -> None:
    value = TwoAttributes([1.5], "t" * 50)
    before = sys.getsizeof(value), deep_size(value)
    assert (sys.getsizeof(value), deep_size(value)) == before
    assert not any(type(each) is dict for each in gc.get_referents(value))


def test_measuring_takes_no_reference() -> None:
    value: list[Any] = [{"a": (1, [2.5])}, "text"]
    inner = value[0]["a"]
    before = sys.getrefcount(inner), sys.getrefcount(value)
    deep_size(value)
    assert (sys.getrefcount(inner), sys.getrefcount(value)) == before
