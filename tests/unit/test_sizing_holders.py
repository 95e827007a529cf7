"""What holds data without being a container counts what it leads to, where that is plain."""

import array
import collections
import ctypes
import functools
import io
import mmap
import types
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from fastmem._core.sizing import deep_size

BYTES = 100_000


class Holder:
    def __init__(self) -> None:
        self.held = bytes(BYTES)

    def method(self) -> None:
        pass


class Stream(io.BytesIO):
    held: bytes


class Text(io.StringIO):
    held: bytes


class Numbers(array.array):  # type: ignore[type-arg]
    held: bytes


class SlottedNumbers(array.array):  # type: ignore[type-arg]
    __slots__ = ("held",)


class Queue(collections.deque):  # type: ignore[type-arg]
    held: bytes


class Record(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_char * BYTES),)


def with_attribute(value: Any) -> Any:
    value.held = bytes(BYTES)
    return value


HOLDERS: dict[str, Any] = {
    "partial": functools.partial(len, bytes(BYTES)),
    "partial with keywords": functools.partial(print, end=bytes(BYTES)),
    "mapping proxy": types.MappingProxyType({1: bytes(BYTES)}),
    "bound method": Holder().method,
    "stream": io.BytesIO(bytes(BYTES)),
    "attribute of a stream": with_attribute(Stream()),
    "attribute of a text stream": with_attribute(Text()),
    "attribute of an array": with_attribute(Numbers("b")),
    "slot of an array": with_attribute(SlottedNumbers("b")),
    "attribute of a deque": with_attribute(Queue()),
    "ctypes array": (ctypes.c_char * BYTES)(),
    "ctypes structure": Record(),
    "memory map": mmap.mmap(-1, BYTES),
    "view of a ctypes array": memoryview((ctypes.c_char * BYTES)()),
    "view of a memory map": memoryview(mmap.mmap(-1, BYTES)),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_a_holder_counts_what_it_holds_once(name: str) -> None:
    assert BYTES <= deep_size(HOLDERS[name]) < BYTES + 2_000


def test_a_closed_memory_map_counts_nothing_of_what_it_was() -> None:
    gone = mmap.mmap(-1, BYTES)
    gone.close()
    assert deep_size(gone) < 500


def test_a_method_of_a_cache_does_not_count_the_cache() -> None:
    cache = L1Cache(1_000_000)
    cache["a"] = bytes(BYTES)
    assert deep_size(functools.partial(cache.get, "a")) < 2_000
