"""Counts of one tier that compiled verbs add to."""

from libc.stdint cimport int64_t


cdef class Counts:
    cdef public int64_t hits
    cdef public int64_t misses
    cdef public int64_t promotions
