"""Bytes of a mapping that stays mapped while somebody looks at them."""

from libc.stdint cimport uint64_t
from fastmem._core.mapping cimport Mapping

cdef class Window:
    cdef Mapping mapping
    cdef const char* start
    cdef Py_ssize_t size

    cdef int require(self) except -1
    cdef bint is_vouched(self) noexcept

cdef class MappedFile:
    cdef readonly Mapping mapping
    cdef readonly uint64_t start
    cdef readonly uint64_t length
    cdef readonly bytes body   # of the record that led to it
    cdef public uint64_t word  # of the record whose MAC was verified

# True when a mapping is there, and a place in it.
cdef bint covers(Mapping mapping, const char* place) noexcept
# Bytes of a mapping that is there. Runs no finalizer.
cdef Window window_over(Mapping mapping, const char* start, Py_ssize_t size)
