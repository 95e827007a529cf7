"""Verbs over many keys."""

from fastmem._core.removal cimport RemovalVerbs


cdef enum:
    MOST_FORESEEN = 64


cdef class BulkVerbs(RemovalVerbs):
    # Hook: at most MOST_FORESEEN keys are about to be read. May raise what reading them would, and
    # changes nothing; the base class has nothing to prepare.
    cdef int foresee(self, list keys) except -1
    cdef int read_into(self, dict found, object key) except -1
