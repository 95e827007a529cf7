"""Records that need nothing, for reclaim."""

from libc.stdint cimport uint8_t, uint64_t
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport log_t
from fastmem._core.tiers cimport place_t

cdef class KeyFilter:
    cdef uint8_t[8192] bits
    cdef Log log

    cdef void note(self, uint64_t digest) noexcept nogil

# True for a record that is not live, nor keeps one in the archive dead.
cdef bint needs_nothing(log_t* log, const place_t* place, uint64_t digest) noexcept nogil
