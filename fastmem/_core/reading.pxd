"""A log in mapped files, for the units that read it."""

from libc.stdint cimport uint64_t
from fastmem._core.joined cimport JoinedFiles
from fastmem._core.looking cimport look_t
from fastmem._core.records cimport Record, read_t

cdef class LogReader(JoinedFiles):
    # As `look_up` and `read_up` of a look that was begun, having seen to whatever it could not go
    # on without; then everything may have changed. Return what it ended with: FOUND, ABSENT, or
    # ASLEEP when it may not `wait` for pages.
    cdef int find(self, look_t* look) except -1
    cdef int read(self, read_t* read, bint wait) except -1
    cdef bint prepare(self, look_t* look, int outcome, bint wait) except -1
    cdef bint wake(self, look_t* look, bint wait) except -1
    cdef int note_corrupt(self, uint64_t word) except -1
    cdef bint holds(self, bytes key, uint64_t word) except -1
    cdef bint is_at(self, Record record) except -1
    cdef bint is_version(self, uint64_t home, uint64_t stamp) except -1
    cdef void touch(self, bytes key) noexcept
    cdef uint64_t most_entries(self) noexcept
