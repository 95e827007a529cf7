"""Over the records of the oldest warm segment that need nothing done: reclaim's short way.

Of a log in which few keys are replaced often most records are such, and looking at one takes a
fiftieth of what a Python object for it would.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport cursor_t, tag_of
from fastmem._core.layout cimport FM_SEAL, FM_SHADOWS_L3, FM_TOMBSTONE
from fastmem._core.log cimport Log
from fastmem._core.looking cimport copy_head, copy_t
from fastmem._core.lookup cimport digest_of, find_live, find_word, log_t
from fastmem._core.record cimport key_of, record_units
from fastmem._core.tiers cimport COLD, WARM, locate_at, place_t, segment_end, valid

ctypedef struct pass_t:
    log_t* log
    uint8_t* bits    # of the filter
    uint64_t at      # of the first record that was not passed
    uint64_t until


cdef class KeyFilter:
    """Keys of a segment, one bit each: what was added is in it, and one in a few that was not."""

    def __cinit__(self, Log log not None):
        self.log = log
        self.clear()

    def clear(self):
        memset(self.bits, 0, sizeof(self.bits))

    def add(self, bytes key not None):
        note(&self.bits[0], digest_of(&self.log.state, key, len(key)))

    def __contains__(self, bytes key not None):
        cdef uint64_t bit = digest_of(&self.log.state, key, len(key)) % (8 * FILTER_BYTES)
        return self.bits[bit >> 3] >> (bit & 7) & 1


def pass_dead(Log log not None, uint64_t at, uint64_t most_units, KeyFilter dead not None):
    """Return the address of the first record from `at` on that is live, may shadow one in the
    archive that nothing else shadows, or is damaged; of the segment's end; of a missing page's
    record; or `most_units` on. Keys of what was passed are added to `dead`. Call it under the
    engine's lock: nothing is reclaimed.
    """
    cdef log_t* state = &log.state
    cdef uint64_t end = segment_end(&state.tier[WARM], at)
    cdef pass_t way = pass_t(state, &dead.bits[0], at, min(end, at + most_units))
    log.require_open()
    if guarded(pass_on, &way):
        state.faults += 1
    state.unmapped = 0
    return way.at


cdef void pass_on(void* facts) noexcept nogil:
    cdef pass_t* way = <pass_t*>facts
    cdef log_t* log = way.log
    cdef uint64_t digest
    cdef copy_t found
    while way.at < way.until and locate_at(&log.tier[WARM], way.at, &found.place):
        if not valid(&found.place) or not copy_head(&found) or found.head.kind == FM_SEAL:
            return
        digest = digest_of(log, key_of(found.place.record), found.head.klen)
        if not needs_nothing(log, &found, digest):
            return
        note(way.bits, digest)
        way.at += record_units(&found.head, way.at)


cdef bint needs_nothing(log_t* log, const copy_t* found, uint64_t digest) noexcept nogil:
    cdef cursor_t cursor
    cdef place_t newer
    if found.head.kind != FM_TOMBSTONE and find_word(
        log, digest, tag_of(&log.index, digest) | found.place.at, &cursor
    ):
        return False
    if not found.head.flags & FM_SHADOWS_L3 or log.tier[COLD].segment_bytes == 0:
        return True
    if found.head.kind == FM_TOMBSTONE:
        return False
    return find_live(
        log, key_of(found.place.record), found.head.klen, digest, &newer
    ) != 0
