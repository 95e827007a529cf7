"""A descriptor that whoever uses it holds."""

from libc.stdint cimport uint64_t

cdef class Descriptor:
    cdef readonly int fd

cdef int forget_in_children(uint64_t* word) except -1
cdef void remember_in_children(uint64_t* word) noexcept
