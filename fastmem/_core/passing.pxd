"""Records that need nothing, for reclaim."""

from libc.stdint cimport uint8_t, uint64_t
from fastmem._core.log cimport Log
from fastmem._core.looking cimport copy_t
from fastmem._core.lookup cimport log_t

cdef enum:
    FILTER_BYTES = 8192


cdef class KeyFilter:
    cdef uint8_t[FILTER_BYTES] bits
    cdef Log log


cdef inline void note(uint8_t* bits, uint64_t digest) noexcept nogil:
    """Add a key to a filter's bits."""
    cdef uint64_t bit = digest % (8 * FILTER_BYTES)
    bits[bit >> 3] |= 1 << (bit & 7)


# True for a record that is not live, nor keeps one in the archive dead. Under a guard; it may leave
# `unmapped` behind.
cdef bint needs_nothing(log_t* log, const copy_t* found, uint64_t digest) noexcept nogil
