"""Arrays count the memory they keep alive, whatever class they are of."""

from typing import Any

import numpy
import pytest

from fastmem._core.sizing import deep_size

ITEMS = 100_000
BYTES = 8 * ITEMS
TEXTS = [str(i) * 500 for i in range(10, 60)]
TEXT_BYTES = sum(map(deep_size, TEXTS))


class Array(numpy.ndarray[Any, Any]):
    pass


class Slotted(numpy.ndarray[Any, Any]):
    __slots__ = ()


class Liar(numpy.ndarray[Any, Any]):
    """What a subclass says of itself is not asked."""

    base = property(lambda self: None)
    dtype = property(lambda self: None)
    flat = property(lambda self: ())

    def __getitem__(self, key: object) -> Any:
        raise AssertionError(key)


def kept(array: Any, type_: type) -> Any:
    """An array of another class over the memory of `array`."""
    return array.view(type_)


def texts_in(dtype: Any, fill: Any = lambda text: (text,)) -> Any:
    return numpy.array([fill(text) for text in TEXTS], dtype=dtype)


BORROWED: dict[str, Any] = {
    "recarray": kept(numpy.zeros(ITEMS), numpy.recarray),
    "memory that is a bytearray's": kept(numpy.frombuffer(bytearray(BYTES)), Array),
    "subclass": kept(numpy.zeros(ITEMS), Array),
    "subclass without a dict": kept(numpy.zeros(ITEMS), Slotted),
    "subclass that lies": kept(numpy.zeros(ITEMS), Liar),
    "slice of a subclass": kept(numpy.zeros(ITEMS), Array)[5:],
    "masked": numpy.ma.array(numpy.zeros(ITEMS)),
}
OBJECTS: dict[str, Any] = {
    "exact": numpy.array(TEXTS, dtype=object),
    "subclass": kept(numpy.array(TEXTS, dtype=object), Array),
    "subclass that lies": kept(numpy.array(TEXTS, dtype=object), Liar),
    "masked": numpy.ma.array(TEXTS, mask=[True] * len(TEXTS), dtype=object),
    "field": texts_in([("n", "i4"), ("o", object)], lambda text: (1, text)),
    "field of a recarray": kept(texts_in([("o", object)]), numpy.recarray),
    "field in a field": texts_in([("s", [("o", object)])], lambda text: ((text,),)),
    "field of arrays": texts_in([("o", object, (2,))], lambda text: ((text, None),)),
}


@pytest.mark.parametrize("name", BORROWED)
def test_a_view_counts_the_buffer_it_borrows(name: str) -> None:
    assert BYTES <= deep_size(BORROWED[name]) < 1.01 * BYTES + 2_000


def test_a_mask_counts_too() -> None:
    masked = numpy.ma.array(numpy.zeros(ITEMS), mask=numpy.zeros(ITEMS, bool))
    assert BYTES + ITEMS <= deep_size(masked) < 1.01 * (BYTES + ITEMS) + 2_000


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_in_an_array_count(name: str) -> None:
    assert TEXT_BYTES <= deep_size(OBJECTS[name]) < TEXT_BYTES + 40 * len(TEXTS) + 2_000


def test_attributes_of_a_subclass_count() -> None:
    array = kept(numpy.zeros(ITEMS), Array)
    before = deep_size(array)
    array.more = bytes(50_000)
    assert deep_size(array) >= before + 50_000


def test_views_of_one_base_count_it_once_whatever_their_class() -> None:
    base = numpy.zeros(ITEMS)
    assert deep_size([base, kept(base, Array), kept(base, numpy.recarray)]) < 1.01 * BYTES
