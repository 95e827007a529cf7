"""Addresses of a log that no record takes."""

from libc.stdint cimport uint64_t
from fastmem._core.tiers cimport place_t

cdef uint64_t skipped_units(const place_t* place) noexcept nogil
cdef void write_skip(const place_t* place, uint64_t units) noexcept nogil
