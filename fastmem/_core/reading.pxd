"""A log in mapped files, and its records, for the units that read them."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastmem._core.lookup cimport log_t
from fastmem._core.mapping cimport Mapping
from fastmem._core.tiers cimport place_t

cdef class Record:
    cdef readonly bytes key
    cdef readonly bytes body
    cdef readonly uint64_t word
    cdef readonly uint64_t version
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

cdef class LogReader:
    cdef log_t state
    cdef dict maps
    cdef Mapping sup_map
    cdef set places          # what of `state.damaged` was collected
    cdef readonly str path
    cdef readonly bint closed

    cdef int require_open(self) except -1
    cdef Record sound_record(self, bytes key, uint64_t digest)
    cdef int note_corrupt(self, uint64_t word) except -1
    cdef bint holds(self, bytes key, uint64_t word) except -1
    cdef void touch(self, bytes key) noexcept

cdef Record read_record(uint64_t word, const place_t* place, bint with_body)
