"""Over the records of the oldest warm segment that need nothing done: reclaim's short way.

Of a log in which few keys are replaced often most records are such, and looking at one takes a
fiftieth of what a Python object for it would.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memset
from fastmem._core.index cimport cursor_t, tag_of
from fastmem._core.layout cimport FM_SEAL, FM_SHADOWS_L3, FM_TOMBSTONE
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, find_live, find_word, log_t
from fastmem._core.record cimport key_of, record_units
from fastmem._core.tiers cimport COLD, WARM, locate_at, place_t, segment_end, valid


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
    archive that nothing else shadows, or is damaged; of the segment's end; or `most_units` on. Keys
    of what was passed are added to `dead`. Call it under the engine's lock: nothing is reclaimed.
    """
    cdef log_t* state = &log.state
    cdef uint64_t end = segment_end(&state.tier[WARM], at)
    cdef uint64_t until = min(end, at + most_units)
    cdef uint64_t digest
    cdef place_t place
    log.require_open()
    while at < until and locate_at(&state.tier[WARM], at, &place):
        if not valid(&place) or place.record.kind == FM_SEAL:
            break
        digest = digest_of(state, key_of(place.record), place.record.klen)
        if not needs_nothing(state, &place, digest):
            break
        note(&dead.bits[0], digest)
        at += record_units(place.record, at)
    return at


cdef bint needs_nothing(log_t* log, const place_t* place, uint64_t digest) noexcept nogil:
    cdef const char* key = key_of(place.record)
    cdef uint64_t klen = place.record.klen
    cdef cursor_t cursor
    cdef place_t newer
    cdef uint64_t word
    if place.record.kind != FM_TOMBSTONE and find_word(
        log, digest, tag_of(&log.index, digest) | place.at, &cursor
    ):
        return False
    if not place.record.flags & FM_SHADOWS_L3 or log.tier[COLD].segment_bytes == 0:
        return True
    if place.record.kind == FM_TOMBSTONE:
        return False
    word = find_live(log, key, klen, digest, &newer)
    log.unmapped = 0
    return word != 0
