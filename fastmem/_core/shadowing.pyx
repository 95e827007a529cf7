"""What leaves the archive for good, and the older warm records that it kept dead."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcmp
from fastmem._core.appending cimport advance, draft_t, write_next
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport replace_word
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport find, log_t
from fastmem._core.needs cimport DONE, STALE
from fastmem._core.record cimport key_of, record_units
from fastmem._core.tiers cimport WARM, locate_at, place_t, tier_t, valid


ctypedef struct older_t:
    log_t* log
    const char* key
    uint64_t klen
    uint64_t version
    bint stands


def uncovers(Log log not None, bytes key not None, uint64_t version):
    """True when a rebuild without a key's archived record of that version might find an older one
    in the warm log and nothing there as new. O(1).

    What was moved down stands in the warm log itself. What was put straight into the archive, or
    deleted while that was open alone, left no record there.
    """
    cdef const tier_t* tier = &log.state.tier[WARM]
    cdef uint64_t klen = PyBytes_GET_SIZE(key)
    cdef older_t older
    log.require_open()
    if tier.count == 0 or version >> tier.shift < tier.first:
        return False
    # Not from the head on: there a rebuild takes what was moved down for the newest.
    older = older_t(&log.state, PyBytes_AS_STRING(key), klen, version, False)
    guarded(compare, &older)
    return not older.stands


cdef void compare(void* facts) noexcept nogil:
    """Whether the key's record of that version stands in the warm log, below its head."""
    cdef older_t* older = <older_t*>facts
    cdef const tier_t* tier = &older.log.tier[WARM]
    cdef place_t place
    older.stands = (
        older.version < older.log.sup.head and locate_at(tier, older.version, &place)
        and valid(&place) and place.record.klen == older.klen
        and memcmp(key_of(place.record), older.key, older.klen) == 0
    )


def entomb(Log log not None, bytes key not None, uint64_t expected, list dropped=None):
    """Append a warm tombstone of the key and clear its slot, if that still holds `expected`; 0: if
    there is none. False: it does not, and nothing has changed. Raises LogNeeds.

    In the same step the key is noted in `dropped`.
    The tombstone leaves with the warm log, in whose order all that it keeps dead leaves before it.
    """
    cdef draft_t draft
    cdef bint done = False
    log.fill_tombstone(&draft, key, 0, expected)
    if dropped is not None:
        dropped.append(key)  # first: it may need memory
    try:
        done = log.take(put_tombstone, &draft) == DONE
    finally:
        if dropped is not None and not done:
            dropped.pop()
    return done


cdef int put_tombstone(log_t* log, draft_t* draft) noexcept nogil:
    """Append a warm tombstone, expired or not, and clear the key's slot; 0 expects it clear.

    The value file of what it held is the caller's.
    """
    cdef place_t older
    cdef place_t room
    cdef uint64_t old = find(
        log, draft.key, draft.head.klen, draft.digest, &draft.cursor, &older
    )
    cdef int need
    if old != draft.expected:
        return STALE
    need = write_next(&log.tier[WARM], draft, &room)
    if need:
        return need
    if old:
        replace_word(&log.index, &draft.cursor, old, 0)
    advance(log, &log.tier[WARM], record_units(room.record, room.at))
    return DONE
