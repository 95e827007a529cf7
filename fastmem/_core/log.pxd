"""The log joined with its index: what one process reads and, under the lock, writes."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastmem._core.index cimport cursor_t, index_t
from fastmem._core.layout cimport fm_record, fm_super
from fastmem._core.mapping cimport Mapping

cpdef enum:
    WARM = 0
    COLD = 1
    # What LogNeeds says an append needs first.
    NEED_SEGMENT = 1
    NEED_OVERFLOW = 2
    NEED_COLD_SEGMENT = 3
    # What the log would like done soon, as bits of `chores`.
    CHORE_BUCKETS = 1
    CHORE_OVERFLOW = 2
    CHORE_PACE = 4
    CHORE_POPULATE = 8

ctypedef struct segment_t:
    char* base
    uint64_t size         # bytes mapped; a cut file maps fewer than a segment's

ctypedef struct tier_t:
    segment_t* segments   # numbers first .. first + count - 1; base NULL where none is mapped
    uint64_t first
    uint64_t count
    uint64_t room
    uint64_t salt
    uint64_t segment_bytes
    int shift             # log2 of units in a segment

ctypedef struct place_t:  # where a word leads
    const fm_record* record
    uint64_t at
    uint64_t room

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

cdef class Log:
    cdef fm_super* sup
    cdef index_t index
    cdef tier_t[2] tier
    cdef uint8_t* touched
    cdef dict maps
    cdef Mapping sup_map
    cdef readonly list freed
    cdef readonly set corrupt_places
    cdef readonly int need   # of recovery's steps: overflow room, before they can go on
    cdef public int chores
    cdef public uint64_t pace_bytes
    cdef public uint64_t populate_mark
    cdef uint64_t appended
    cdef public int64_t wall_offset_ns
    cdef readonly uint64_t corrupt
    cdef readonly bint closed

    cdef bint locate(self, uint64_t word, place_t* place) noexcept
    cdef uint64_t digest_of(self, const char* key, uint64_t klen) noexcept
    cdef uint64_t find(
        self, const char* key, uint64_t klen, uint64_t digest, cursor_t* cursor, place_t* place
    ) except? 1
    cdef int note_corrupt(self, uint64_t word) except -1
    cdef bint expired(self, const fm_record* record) noexcept
    cdef uint64_t version_at(self, uint64_t word) noexcept
    cdef char* tail_room(self, int which, const fm_record* head) except NULL
    cdef bint locate_tail(self, int which, uint64_t at, place_t* place) noexcept
    cdef void advance(self, int which, uint64_t units) noexcept
    cdef int lock(self) except -1
    cdef void unlock(self) noexcept
    cdef int note_freed(self, uint64_t word, const place_t* place) except -1
    cdef bint holds(self, bytes key, uint64_t word) except -1
    cdef uint64_t append(
        self, bytes key, const unsigned char* body, fm_record* head, uint64_t expected,
        bint conditional
    ) except? 1
    cdef int erase(self, bytes key) except -1
    cdef int ready_to_erase(self, bytes key) except -1
    cdef void touch(self, bytes key) noexcept
    cdef int require_open(self) except -1
    cdef Record make_record(self, uint64_t word, const place_t* place)
