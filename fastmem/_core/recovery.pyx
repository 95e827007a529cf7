"""Whether an index belongs to its log, and finishing what a dead writer had begun in both.

A page that is missing makes no sense of either.
"""

from libc.stdint cimport int64_t, uint64_t
from fastmem._core.appending cimport advance
from fastmem._core.bounds cimport compare_bounds, examine, facts_t, take_digest
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport (
    cursor_t, first_slot, home_of, insert_word, next_entry, recover_index, replace_word, tag_of,
)
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_SEAL, FM_TOMBSTONE, fm_record, fm_store_release,
)
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, find, log_t
from fastmem._core.needs cimport NEED_MAPPING, NEED_OVERFLOW
from fastmem._core.record cimport cold_of, key_of, record_units, void_record
from fastmem._core.shelter cimport raise_fault
from fastmem._core.tiers cimport (
    COLD, WARM, locate, locate_at, move_tail, place_t, segment_end, tier_t, version_of, whole,
)

ctypedef struct recovery_t:
    log_t* log
    int64_t redone
    int need


def sound(Log log not None):
    """None when index and bounds of the log do not belong together, else three numbers: how many
    slots lead to segments that are not mapped, and the lowest address of each tier that a slot
    leads to, above all others where none does.

    Every slot leads below the tail, its tag fits its bucket, the counts are exact, and no record
    lies across a tail. A damaged bound or counter would otherwise have live records overwritten,
    or the table grown without end. One pass over the index, and the headers between the last
    record that a slot leads to and the tail; writes nothing.
    """
    cdef facts_t facts
    log.require_open()
    facts.log = &log.state
    facts.sound = False
    if guarded(examine, &facts) or not facts.sound:
        return None
    return facts.lost, facts.spans[WARM].lowest, facts.spans[COLD].lowest


def forget_lost(Log log not None):
    """Clear every slot that leads to no mapped segment."""
    cdef uint64_t fault
    log.require_open()
    fault = guarded(clear_lost, &log.state)
    if fault:
        raise_fault(log, fault)


cdef void clear_lost(void* of) noexcept nogil:
    cdef log_t* log = <log_t*>of
    cdef uint64_t word = 0
    cdef cursor_t cursor
    cdef place_t place
    first_slot(&log.index, 0, &cursor)
    while next_entry(&log.index, &cursor, &word):
        if not locate(log.tier, word, &place):
            replace_word(&log.index, &cursor, word, 0)


def index_digest(Log log not None):
    """Return a checksum of the buckets in use, the counts and the tails; what a clean close
    leaves. 0: the index makes no sense.
    """
    cdef facts_t facts
    log.require_open()
    facts.log = &log.state
    facts.digest = 0
    return 0 if guarded(take_digest, &facts) else facts.digest


def nothing_lost(Log log not None):
    """True when all segments are mapped in full that a record between head and tail may lie in."""
    cdef facts_t facts
    log.require_open()
    facts.log = &log.state
    facts.sound = False
    return not guarded(compare_bounds, &facts) and facts.sound


def recover(Log log not None):
    """Finish what a process that died under the lock had begun. Return the records redone.

    -1: the index makes no sense and must be rebuilt. With `need` set on return: provide it and
    call again. Afterwards the lock is free. For who has the store alone; see turns.pyx.
    """
    cdef recovery_t facts
    log.require_open()
    facts = recovery_t(&log.state, -1, 0)
    if guarded(finish_alone, &facts):
        facts.redone = -1
    log.need = facts.need
    return facts.redone


cdef void finish_alone(void* of) noexcept nogil:
    cdef recovery_t* facts = <recovery_t*>of
    facts.redone = finish(facts.log, &facts.need)
    if facts.redone >= 0 and not facts.need:
        fm_store_release(&facts.log.sup.lock, 0)


cdef int64_t finish(log_t* log, int* need) noexcept nogil:
    """What `recover` does, under the lock, which stays taken."""
    cdef int64_t redone = 0
    cdef tier_t* tier
    cdef int which
    cdef place_t place
    need[0] = 0
    if not recover_index(&log.index):
        return -1
    for which in range(2):
        tier = &log.tier[which]
        while tier.segment_bytes and locate_at(tier, tier.tail[0], &place) and whole(&place):
            if place.record.kind == FM_SEAL:
                if not locate_at(tier, segment_end(tier, place.at) + FM_HEADER_UNITS, &place):
                    break
                move_tail(tier, place.at)
            elif redo(log, &place, need):
                redone += 1
                advance(log, tier, record_units(place.record, place.at))
            elif need[0]:
                return redone
            else:
                void_record(<fm_record*>place.record)
                break
    return redone


cdef bint redo(log_t* log, const place_t* place, int* need) noexcept nogil:
    """Apply the record at a tail. False: it `need`s something first, or was never visible."""
    cdef const fm_record* record = place.record
    cdef uint64_t digest = digest_of(log, key_of(record), record.klen)
    cdef uint64_t word = tag_of(&log.index, digest) | place.tier.bit | place.at
    cdef cursor_t cursor
    cdef place_t older
    cdef uint64_t old = find(log, key_of(record), record.klen, digest, &cursor, &older)
    if log.unmapped:
        need[0] = NEED_MAPPING
        return False
    if record.kind == FM_TOMBSTONE:
        # A cold one may stand for a version that a newer one has replaced since.
        if old and version_of(&older) <= version_of(place):
            replace_word(&log.index, &cursor, old, 0)
    elif place.tier.bit:
        # A cold record is a move or an archive's put: applied already, or never visible.
        if old != word:
            return False
    elif old and old != word:
        replace_word(&log.index, &cursor, old, word)
    elif not old and not insert_word(&log.index, home_of(&log.index, digest), word):
        need[0] = NEED_OVERFLOW
        return False
    if place.tier.bit and log.sup.tail <= cold_of(record).origin:
        # Its version is taken: a later record of that version would lose to it at a rebuild.
        move_tail(&log.tier[WARM], cold_of(record).origin + 1)
    return True
