"""`Cache`: entries that count hits and misses, and ask further down on a miss."""

from libc.stdint cimport int64_t, uint32_t

from fastmem._core.clock cimport deadline_after
from fastmem._core.entries cimport lookup
from fastmem._core.table cimport CAUSE_EXPIRED, CAUSE_REPLACED, Displaced


class _Missing:
    """The type of MISSING, which no key maps to unless someone stores it on purpose."""

    __slots__ = ()

    def __repr__(self):
        return "MISSING"


MISSING = _Missing()
cdef object MISS = MISSING


cdef class Cache(Entries):
    """The two steps below every verb: `miss` and `store`."""

    cdef object on_miss(self, object key):
        return MISS

    cdef object miss(self, object key):
        self.require_open()
        self.misses += 1
        return self.on_miss(key)

    cdef int store(self, object key, object value, int64_t ttl) except -1:
        cdef Displaced out = [0, 0, 0]
        cdef int64_t size, deadline_ns
        cdef uint32_t index, fragment = 0
        self.require_open()
        size = self.entry_size(key, value)
        deadline_ns = deadline_after(ttl)
        index = lookup(self, key, &fragment)
        if index and not self.watched & (1 << CAUSE_REPLACED | 1 << CAUSE_EXPIRED):
            return self.overwrite(index, key, value, size, deadline_ns)
        self.install_at(index, fragment, key, value, size, deadline_ns, 0, 0, &out)
        self.release(&out)
        return 0

    def _takes_plain_keys(self):
        """Whether keys are str, bytes, int and tuples of these only."""
        return self.strict_keys

    def _deadline(self, key):
        """The deadline of an entry, live or expired: nanoseconds of CLOCK_BOOTTIME, 0 for never."""
        cdef uint32_t index = self.find(key)
        if index == 0:
            raise KeyError(key)
        return self.table.entries[index].deadline_ns
