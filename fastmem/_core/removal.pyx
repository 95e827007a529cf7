"""`delete`, `pop`, `popitem`, `clear`, `expire` and `resize`."""

from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint32_t

from fastmem._core.arguments cimport whole_number
from fastmem._core.policies cimport table_victim
from fastmem._core.table cimport (
    CAUSE_DELETED, CAUSE_EXPIRED, Displaced, Entry, is_expired, table_displace, table_shrink,
)

from fastmem._core.cache import MISSING

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(void* o) noexcept
    void PyObject_GC_Track(void* o) noexcept

cdef object MISS = MISSING


cdef int64_t budget_of(object budget_bytes) except -1:
    cdef int64_t budget = whole_number(budget_bytes, "budget_bytes")
    if budget == 0:
        raise ValueError("budget_bytes must be positive")
    return budget


cdef class RemovalVerbs(ConditionalVerbs):
    """How entries leave a cache at the caller's word."""

    def delete(self, key):
        """Removes `key`; whether it was there. O(1)."""
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index = self.find_doomed(key)
        if index == 0:
            return False
        self.discard_at(index, CAUSE_DELETED, &out)
        self.release(&out)
        return True

    def pop(self, key, default=MISS):
        """Removes `key` and returns its value; `default`, or else ``KeyError``, on a miss. O(1)."""
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index = self.find_doomed(key)
        if index == 0:
            if default is MISS:
                raise KeyError(key)
            return default
        value = <object>self.table.entries[index].value
        self.discard_at(index, CAUSE_DELETED, &out)
        self.release(&out)
        return value

    def popitem(self):
        """Removes what the next eviction would and returns it as ``(key, value)``: under ``"lru"``
        the least recent entry. O(1).

        Raises ``KeyError`` when the cache is empty.
        """
        cdef Displaced out = [0, 0, 0]
        cdef Entry* entry
        cdef uint32_t index
        # Made first: if it fails nothing has changed, and a collection comes before the look.
        cdef tuple item = PyTuple_New(2)
        PyObject_GC_UnTrack(<void*>item)  # until it is one: what expires runs code
        while True:
            self.require_open()
            index = table_victim(&self.table)
            if index == 0:
                raise KeyError("popitem(): the cache is empty")
            entry = self.table.entries + index
            if not is_expired(entry):
                break
            self.expire_at(index)
        Py_INCREF(<object>entry.key)
        Py_INCREF(<object>entry.value)
        PyTuple_SET_ITEM(item, 0, <object>entry.key)
        PyTuple_SET_ITEM(item, 1, <object>entry.value)
        PyObject_GC_Track(<void*>item)
        self.discard_at(index, CAUSE_DELETED, &out)
        self.release(&out)
        return item

    def clear(self):
        """Removes everything; counters stay. O(entries)."""
        self.require_open()
        self.empty()

    def expire(self):
        """Removes every entry past its deadline and returns how many there were. O(entries).

        Also tells listeners what still waits.
        """
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index, newer, count = 0
        self.require_open()
        index = self.table.entries[0].prev
        while index:
            newer = self.table.entries[index].prev
            if is_expired(self.table.entries + index):
                table_displace(&self.table, index, CAUSE_EXPIRED, &out)
                count += 1
            index = newer
        self.release(&out)
        self.tell(0)
        return count

    def resize(self, budget_bytes):
        """Sets the budget and evicts what the policy says until within it. O(1), and for each that
        leaves.

        The slots and entries made for a larger budget stay for later ones, nearly the 80 bytes (104
        under ``"s3fifo"``) that each counted; ``clear`` and ``close`` give them back.

        Raises ``TypeError`` or ``ValueError`` for what is not a positive int.
        """
        cdef Displaced out = [0, 0, 0]
        cdef int64_t budget = budget_of(budget_bytes)
        self.require_open()
        self.budget = self.table.budget_bytes = budget
        table_shrink(&self.table, budget, &out)
        self.release(&out)
