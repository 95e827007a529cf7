"""The verbs of a store that take one key."""

from libc.stdint cimport int64_t
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.counts cimport Counts
from fastmem._core.log cimport Log
from fastmem._core.plain cimport PlainCodec
from fastmem._core.spans cimport span_t


cdef class StoreVerbs:
    cdef Log log
    cdef PlainCodec codec
    cdef Counts counts
    cdef object provide
    cdef object settle
    cdef bint reads
    cdef bint writes

    # A value as `fetch` returns it, of OTHER the one that the layers above find; counted.
    cdef object counted(self, object value, bytes holder, const span_t* key)
    cdef object read(self, object key)
    cdef int write(self, object key, object value, int64_t deadline_ns) except -1
    cdef bint erase(self, object key) except -1
    cdef bint change(self, step_t step, draft_t* draft) except -1
