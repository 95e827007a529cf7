"""Verbs that remove."""

from fastmem._core.conditional cimport ConditionalVerbs


cdef class RemovalVerbs(ConditionalVerbs):
    pass
