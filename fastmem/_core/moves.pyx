"""The steps of reclaim: a record moved on or out, a segment left for the next."""

from libc.stdint cimport uint32_t, uint64_t
from fastmem._core.appending cimport advance, find_key, tail_room, write_next
from fastmem._core.index cimport change_word, cursor_t, replace_word
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_TAG_MASK, FM_TIER_BIT, fm_load_acquire, fm_store_release,
)
from fastmem._core.lookup cimport find_word
from fastmem._core.needs cimport DONE, NEED_MAPPING, STALE
from fastmem._core.record cimport body_offset, record_units
from fastmem._core.tiers cimport COLD, WARM, place_t, segment_begin, tier_t


cdef int forward(log_t* log, draft_t* draft) noexcept nogil:
    """Copy the key's warm record, which must be the expected one, to the tail."""
    cdef place_t older
    cdef place_t room
    cdef uint64_t old = find_key(log, draft, &older)
    cdef int need
    if log.unmapped:
        return NEED_MAPPING
    if old != draft.expected or old & FM_TIER_BIT:
        return STALE
    draft.head = older.record[0]
    draft.body = <const char*>older.record + body_offset(older.record, older.at)
    need = write_next(&log.tier[WARM], draft, &room)
    if need:
        return need
    draft.word = (old & FM_TAG_MASK) | room.at
    change_word(&log.index, &draft.cursor, old, draft.word, True)
    advance(log, &log.tier[WARM], record_units(room.record, room.at))
    return DONE


cdef int remove(log_t* log, draft_t* draft) noexcept nogil:
    """Clear the key's slot while it holds the expected word, and append nothing.

    The head passes the record before that, so that whoever finds the key absent cannot find it
    again after a rebuild. A death between the two leaves it live, and reclaim comes to it again.
    """
    cdef uint64_t* head = &log.sup.cold_head if draft.expected & FM_TIER_BIT else &log.sup.head
    if not find_word(log, draft.digest, draft.expected, &draft.cursor):
        return STALE
    if head[0] < draft.passed:
        fm_store_release(head, draft.passed)
    return clear_slot(log, draft)


cdef int clear_slot(log_t* log, draft_t* draft) noexcept nogil:
    """Clear the slot that the cursor leads to while it holds the expected word."""
    cdef cursor_t* cursor = &draft.cursor
    if fm_load_acquire(&cursor.bucket.slot[cursor.slot]) != draft.expected:
        return STALE
    replace_word(&log.index, cursor, draft.expected, 0)
    return DONE


cdef int roll_warm(log_t* log, draft_t* draft) noexcept nogil:
    return roll(&log.tier[WARM], draft)


cdef int roll_cold(log_t* log, draft_t* draft) noexcept nogil:
    return roll(&log.tier[COLD], draft)


cdef int roll(tier_t* tier, draft_t* draft) noexcept nogil:
    """Begin a tier's next segment. STALE when nothing was written to the last one."""
    cdef place_t room
    if tier.tail[0] <= segment_begin(tier, tier.tail[0]) + FM_HEADER_UNITS:
        return STALE
    # Longer than what is left of the segment, whatever that is.
    draft.head.klen = <uint32_t>tier.segment_bytes
    return tail_room(tier, &draft.head, &room)
