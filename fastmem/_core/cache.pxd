"""What every verb of a cache is made of: a miss that asks further down, and a store."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.entries cimport Entries, mark_use


cdef class Cache(Entries):
    cdef uint64_t hits
    cdef uint64_t misses

    # What a get that missed returns: MISSING (see cache.pyi) for a miss. The base class knows
    # nothing further down. Called with the structure whole.
    cdef object on_miss(self, object key)
    # The tail of a get that found nothing: counts, then asks on_miss.
    cdef object miss(self, object key)
    # A put: measures, installs, releases. `ttl` in nanoseconds, 0 for ever.
    cdef int store(self, object key, object value, int64_t ttl) except -1


cdef inline PyObject* used(Cache self, uint32_t index) noexcept:
    """The value of the live entry at `index`, borrowed: a hit."""
    self.hits += 1
    mark_use(&self.table, index)
    return self.table.entries[index].value
