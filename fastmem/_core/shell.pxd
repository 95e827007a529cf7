"""What a cache shows of itself as a Python mapping."""

from fastmem._core.events cimport Announcer


cdef class Shell(Announcer):
    pass
