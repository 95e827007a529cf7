"""What the steps of a log leave to its owner."""

from fastmem._core.reading cimport LogReader

cdef class LogChores(LogReader):
    cdef int widen_freed(self) except -1
