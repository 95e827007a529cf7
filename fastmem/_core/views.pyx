"""Views of a cache that count nothing, and survive every change made while they are iterated."""

from collections.abc import ItemsView, KeysView, ValuesView

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t

from fastmem._core.table cimport LIVE, Entry, is_expired


@cython.final
cdef class EntryIterator:
    """Goes through the entries that were live when it was made, least recent first.

    It notes index and fragment of each (8 bytes), no references, and yields those that are still
    there: keys present throughout come exactly once, with their newest value; keys removed on the
    way are skipped, new ones are not seen. It runs no user code and changes no recency.
    """

    cdef object owner
    cdef Table* table
    cdef uint64_t* order
    cdef uint32_t count
    cdef uint32_t at
    cdef int kind

    def __dealloc__(self):
        PyMem_Free(self.order)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Table* t = self.table
        cdef Entry* entry
        cdef uint32_t index
        while self.at < self.count:
            index = <uint32_t>self.order[self.at]
            self.at += 1
            if index >= t.entry_high:
                continue
            entry = t.entries + index
            if not entry.meta & LIVE or entry.fragment != self.order[self.at - 1] >> 32:
                continue
            if is_expired(entry):
                continue
            if self.kind == KEYS:
                return <object>entry.key
            if self.kind == VALUES:
                return <object>entry.value
            return <object>entry.key, <object>entry.value
        raise StopIteration

    def __length_hint__(self):
        return self.count - self.at


cdef object iterate(object owner, Table* table, int kind):
    cdef EntryIterator result = EntryIterator.__new__(EntryIterator)
    cdef uint32_t index
    result.owner = owner
    result.table = table
    result.kind = kind
    # Allocated last: making the iterator may run a collection, and with it any code.
    result.order = <uint64_t*>PyMem_Malloc((<size_t>table.live + 1) * sizeof(uint64_t))
    if result.order == NULL:
        raise MemoryError()
    index = table.entries[0].prev
    while index:
        if table.entries[index].meta & LIVE:  # not a sentinel
            result.order[result.count] = <uint64_t>table.entries[index].fragment << 32 | index
            result.count += 1
        index = table.entries[index].prev
    return result


class CacheKeys(KeysView):
    """The keys, from the next victim to the most recent; a set like any ``dict.keys()``."""

    __slots__ = ()

    def __iter__(self):
        return iter(self._mapping)


class CacheValues(ValuesView):
    """The values, from the next victim to the most recent."""

    __slots__ = ()

    def __iter__(self):
        return self._mapping._iterate(VALUES)

    def __contains__(self, value):
        return any(held is value or held == value for held in self)


class CacheItems(ItemsView):
    """Pairs of key and value, from the next victim to the most recent."""

    __slots__ = ()

    def __iter__(self):
        return self._mapping._iterate(ITEMS)

    def __contains__(self, item):
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        absent = object()
        held = self._mapping.peek(item[0], absent)
        return held is not absent and (held is item[1] or held == item[1])
