"""Where records stand, for the units that walk the log."""

from libc.stdint cimport uint64_t
from fastmem._core.log cimport Log, place_t

cdef bint valid_at(Log log, int which, uint64_t at, place_t* place) noexcept
cdef uint64_t word_at(Log log, int which, uint64_t digest, uint64_t at) noexcept
