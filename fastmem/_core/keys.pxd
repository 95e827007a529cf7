"""Tier keys as canonical bytes: equal keys, and only those, have equal bytes."""

cdef bytes encode(object key)
cdef int require_exact(object key) except -1
cpdef bint is_exact(object key) noexcept
