"""Looking up a record where pages may be missing: from the file, from the device, from memory.

Nothing of a record is used that was not copied out first: what lies in a file may change.
"""

from libc.stdint cimport uint64_t
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport NO_STAMP, cursor_t
from fastmem._core.layout cimport FM_COLD, fm_cold, fm_record
from fastmem._core.lookup cimport log_t
from fastmem._core.record cimport cold_of, plausible
from fastmem._core.tiers cimport place_t

cdef enum:  # how a look ends
    ABSENT = 0
    FOUND = 1
    ASLEEP = 2  # not before pages of a record are in memory: `place` and `length` say which
    UNMAPPED = 3  # not before a segment is mapped: `unmapped` of the log says which

ctypedef struct copy_t:  # the head of a sound record
    uint64_t word
    place_t place
    fm_record head
    fm_cold cold

ctypedef struct look_t:
    log_t* log
    const char* key
    uint64_t klen
    uint64_t digest
    bint bare           # the word is all that is wanted
    bint brief          # no more than the head of the record is to be in memory
    bint missing        # a segment on the way was asked for, and is not there
    uint64_t home       # the key's bucket, and
    uint64_t stamp      # its version before its slots were looked at: see stamp_of
    copy_t found
    uint64_t length     # bytes of the record that are wanted
    cursor_t cursor     # of a second look, slot by slot
    bint over


cdef inline void begin_look(
    look_t* look, log_t* log, const char* key, uint64_t klen, uint64_t digest
) noexcept nogil:
    look.log = log
    look.key = key
    look.klen = klen
    look.digest = digest
    look.bare = look.brief = look.missing = False
    look.home = 0
    look.stamp = NO_STAMP


# The parts of `look_up`: the work, and what comes after a fault.
cdef void look_at_once(void* facts) noexcept nogil
cdef void look_again(look_t* look) noexcept nogil


cdef inline int outcome_of(const look_t* look) noexcept nogil:
    if look.found.word:
        return FOUND
    if look.log.unmapped:
        return UNMAPPED
    return ASLEEP if look.log.asleep else ABSENT


cdef inline int look_up(look_t* look, bint wary) noexcept nogil:
    """Find the key's record, and copy its head: FOUND. Expired ones and tombstones are ABSENT.

    `wary`: touch only what is in memory, or it is ASLEEP.
    """
    cdef log_t* log = look.log
    cdef uint64_t fault
    log.asleep = 0
    log.wary = wary
    fault = guarded(look_at_once, look)
    if fault:
        log.faults += 1
        look_again(look)
    log.wary = False
    return outcome_of(look)


cdef inline bint copy_head(copy_t* copy) noexcept nogil:
    """Copy the head of a record that was found valid. False: it has changed since."""
    copy.head = copy.place.record[0]
    if copy.head.flags & FM_COLD:
        copy.cold = cold_of(copy.place.record)[0]
    return plausible(&copy.head, copy.place.at, copy.place.room)


cdef uint64_t copy_version(const copy_t* copy) noexcept nogil
# Copies key and body out; either may be NULL. False where a page is missing.
cdef bint copy_out(log_t* log, const copy_t* copy, char* key, char* body) noexcept nogil
# Copies what lies anywhere in a mapping. False where a page is missing.
cdef bint copy_bytes(log_t* log, char* to, const char* origin, uint64_t length) noexcept nogil
# Whether a body is what was written.
cdef bint body_sound(log_t* log, const copy_t* copy) noexcept nogil
cdef bint holds_word(log_t* log, uint64_t digest, uint64_t word) noexcept nogil
# As stamp_of; NO_STAMP too where a page of the index is missing.
cdef uint64_t stamp_now(log_t* log, uint64_t digest, uint64_t* home) noexcept nogil
