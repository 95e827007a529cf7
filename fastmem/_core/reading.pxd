"""A log in mapped files, and its records, for the units that read them."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastmem._core.logfiles cimport LogFiles
from fastmem._core.windows cimport Window
from fastmem._core.tiers cimport place_t

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

cdef class LogReader(LogFiles):
    cdef uint64_t live_word(
        self, const char* key, uint64_t klen, uint64_t digest, place_t* place
    ) except? 1
    cdef Record sound_record(self, bytes key, uint64_t digest)
    cdef int note_corrupt(self, uint64_t word) except -1
    cdef bint holds(self, bytes key, uint64_t word) except -1
    cdef bint is_at(self, Record record) except -1
    cdef bint is_version(self, uint64_t home, uint64_t stamp) except -1
    cdef void touch(self, bytes key) noexcept
    cdef uint64_t most_entries(self) noexcept

cdef Record read_record(uint64_t word, const place_t* place, bint with_body)
cdef bytes copy_body(const place_t* place)
