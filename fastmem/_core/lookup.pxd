"""A log as its readers see it, and how they find a key's record in it."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from fastmem._core.hashing cimport xxh3_seeded
from fastmem._core.index cimport cursor_t, index_t
from fastmem._core.layout cimport FM_TOMBSTONE, fm_record, fm_super
from fastmem._core.lease cimport lease_t
from fastmem._core.tiers cimport place_t, tier_t

cdef enum:
    MOST_DAMAGED = 32     # more than these wait for the next read to be met again

cdef enum:
    # In place of an unmapped word: a bucket beyond the known room of the index.
    BEYOND = 0x400000000000

ctypedef struct freed_t:  # a value file whose record was replaced or deleted
    uint64_t word         # of that record
    uint64_t number       # of the file

ctypedef struct log_t:
    fm_super* sup
    uint64_t salt         # of keys' digests: the first page's, readable after it is unmapped
    index_t index
    tier_t[2] tier
    uint8_t* touched      # a bit for keys read since they were last asked for, by digest
    int64_t wall_offset_ns
    bint writable         # the first page, too
    bint shared           # other processes may begin segments
    uint64_t directory    # of the index, as it was seen last: what it leads to is only asked for
    uint64_t unmapped     # a word that led into a segment which is not mapped yet; 0 = none
    uint64_t[MOST_DAMAGED] damaged  # words that lead to no sound record
    int damaged_count
    # Of the pages that all this lies on.
    bint wary             # touch no record that is not known to be in memory: it goes to `asleep`
    uint64_t asleep
    bint eager            # ask for a record's memory as soon as it is known where it lies
    uint64_t looks
    uint64_t faults       # pages that a file lacked, or the device
    uint64_t cold_reads   # ... and those that were waited for, while other threads went on
    uint64_t own_waits    # major faults that these took
    uint64_t waits_seen   # ... and of the others, those that are accounted for
    bint locked           # this process has the write lock
    bint poisoned         # a change was cut short: only an opening puts that right
    # Of the writers.
    lease_t lease
    freed_t* freed        # room for one more is made before a step
    uint64_t freed_count
    uint64_t freed_room
    uint64_t appended     # bytes, since they were last taken
    uint64_t pace_bytes   # ask for CHORE_PACE every so many; 0 = never
    uint64_t populate_mark
    int chores


cdef inline uint64_t digest_of(const log_t* log, const char* key, uint64_t klen) noexcept nogil:
    return xxh3_seeded(key, klen, log.salt)


cdef bint touch_init(log_t* log) noexcept nogil
cdef bint mark_touched(log_t* log, uint64_t digest) noexcept nogil
cdef bint is_touched(const log_t* log, uint64_t digest) noexcept nogil
cdef bint take_touched(log_t* log, uint64_t digest) noexcept nogil
cdef uint64_t find(
    log_t* log, const char* key, uint64_t klen, uint64_t digest, cursor_t* cursor, place_t* place
) noexcept nogil
cdef uint64_t find_live(
    log_t* log, const char* key, uint64_t klen, uint64_t digest, place_t* place
) noexcept nogil
cdef bint find_word(
    const log_t* log, uint64_t digest, uint64_t word, cursor_t* cursor
) noexcept nogil
cdef void note_damaged(log_t* log, uint64_t word) noexcept nogil
cdef bint has_expired(log_t* log, const fm_record* record) noexcept nogil


cdef inline bint expired(log_t* log, const fm_record* record) noexcept nogil:
    return record.deadline_ns != 0 and has_expired(log, record)


cdef inline bint is_live(log_t* log, const place_t* place) noexcept nogil:
    """Whether a reader may see what was found."""
    return place.record.kind != FM_TOMBSTONE and not expired(log, place.record)
