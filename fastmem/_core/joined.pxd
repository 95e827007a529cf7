"""The mapped files that a log stands on, where other processes may have them too."""

from libc.stdint cimport uint64_t
from fastmem._core.logfiles cimport LogFiles
from fastmem._core.lookup cimport log_t
from fastmem._core.tiers cimport place_t

cdef class JoinedFiles(LogFiles):
    cdef int attend(self) except -1
    cdef bint reach(self, uint64_t word, place_t* place) except -1
