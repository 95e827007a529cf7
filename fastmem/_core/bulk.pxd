"""Verbs over many keys."""

from fastmem._core.removal cimport RemovalVerbs


cdef class BulkVerbs(RemovalVerbs):
    pass
