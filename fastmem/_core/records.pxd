"""A record copied out of a log."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastmem._core.looking cimport copy_t, look_t
from fastmem._core.lookup cimport log_t
from fastmem._core.windows cimport Window

cdef class Record:
    cdef readonly bytes key
    cdef readonly bytes body
    cdef readonly Window window
    cdef readonly uint64_t word
    cdef readonly uint64_t version
    cdef readonly uint64_t home    # the bucket that led to it, and
    cdef readonly uint64_t stamp   # its version before: see stamp_of
    cdef readonly int64_t deadline_ns
    cdef readonly uint64_t written_ms
    cdef readonly uint32_t dictionary
    cdef readonly uint32_t raw_len
    cdef readonly uint32_t archived_s
    cdef readonly uint16_t codec
    cdef readonly uint16_t mac_key
    cdef readonly uint8_t kind
    cdef readonly uint8_t flags
    cdef readonly bint live
    cdef readonly bint read_before

ctypedef struct read_t:  # a look, and the body of what was found
    look_t look
    bint plain           # no body is wanted but that of a plain value of the warm tier
    PyObject* body       # bytes, owned; NULL where none can be had, or is wanted

# Look up, and copy the body too. Returns as look_up.
cdef int read_up(read_t* read) except -1
# The body that was read, None where there is none or its checksum is wrong.
cdef bytes body_read(read_t* read)
# Make a Record: of what was read; of what was found, without a body; of what was come to, key too.
cdef Record record_read(read_t* read, bytes key)
cdef Record record_found(const look_t* look, bytes key)
cdef Record record_of(log_t* log, const copy_t* copy, bint with_body)
# A sound body, else None.
cdef bytes body_of(log_t* log, const copy_t* copy)
