"""The log joined with its index: what one process reads and, under the lock, writes."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.chores cimport LogChores
from fastmem._core.drafts cimport Draft

cdef class Log(LogChores):
    cdef readonly int need   # of recovery's steps: overflow room, before they can go on

    cdef int take(self, step_t step, draft_t* draft) except -1
    cdef uint64_t standing(self, bytes key) except? 1
    cdef int erase(self, bytes key, object expected) except -1
    cdef int ready_to_erase(self, bytes key) except -1
    cdef int aim(self, draft_t* draft, bytes key, uint64_t expected) except -1
    cdef int fill(self, draft_t* draft, bytes key, Draft record, expected) except -1
    cdef int fill_tombstone(self, draft_t* draft, bytes key, int flags, expected) except -1
