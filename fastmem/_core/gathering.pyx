"""Reading a segment for a rebuild, under guards. See gathering.pxd."""

from libc.stdint cimport uint64_t
from fastmem._core.ahead cimport ask_for_bucket
from fastmem._core.faults cimport guarded
from fastmem._core.layout cimport FM_PAGE, FM_RECORD_HEADER, FM_SEAL, FM_SEAL_UNITS, FM_UNIT
from fastmem._core.looking cimport copy_head
from fastmem._core.lookup cimport digest_of
from fastmem._core.record cimport body_valid, key_of, plausible, record_units
from fastmem._core.skips cimport skipped_units
from fastmem._core.tiers cimport locate_at, place_t, valid
from fastmem._core.walking cimport after_page

cdef enum:
    ASKED = 12  # records ahead


cdef bint gather_next(gather_t* gather) noexcept nogil:
    cdef uint64_t fault = guarded(come_to_record, gather)
    cdef uint64_t after
    while fault:
        gather.log.faults += 1
        after = after_page(gather.tier, gather.at, fault)
        gather.dropped += not gather.in_run
        gather.in_run = True
        gather.gap += after - gather.at
        gather.holes += gather.vouched <= gather.at < gather.tail
        gather.at = after
        fault = guarded(come_to_record, gather)
    if gather.there and guarded(ask_ahead, gather):
        gather.asked = ASKED  # a page is missing there: no more of it till it is come to
    return gather.there


cdef void come_to_record(void* facts) noexcept nogil:
    """It touches nothing but the segment, and steps on before it touches the next bytes of it."""
    cdef gather_t* gather = <gather_t*>facts
    cdef place_t* place = &gather.found.place
    cdef uint64_t skipped
    gather.there = False
    while gather.at < gather.end and locate_at(gather.tier, gather.at, place):
        if pass_zeros(gather, <const uint64_t*>place.record, place.room):
            continue
        if valid(place) and copy_head(&gather.found):
            gather.intact = gather.found.head.kind == FM_SEAL or body_valid(
                place.record, gather.at
            )
            gather.holes += not gather.intact and gather.vouched <= gather.at < gather.tail
            gather.in_run = False
            gather.gap = 0
            gather.there = True
            return
        skipped = skipped_units(place)
        if skipped:
            gather.in_run = False
            gather.gap = 0
            gather.at += skipped
            gather.after = gather.at
            continue
        gather.gap += 1  # three at a segment's end are no lost record
        gather.holes += gather.gap > FM_SEAL_UNITS and gather.vouched <= gather.at < gather.tail
        gather.dropped += not gather.in_run
        gather.in_run = True
        gather.at += 1


cdef void ask_ahead(void* facts) noexcept nogil:
    """Ask for the buckets of the records that come next: each is another line of memory."""
    cdef gather_t* gather = <gather_t*>facts
    cdef place_t place
    gather.asked -= 1
    if gather.asked <= 0:
        gather.asked, gather.ask_at = 0, gather.at
    while gather.asked < ASKED and locate_at(gather.tier, gather.ask_at, &place):
        if not plausible(place.record, gather.ask_at, place.room):
            return
        ask_for_bucket(
            gather.log, digest_of(gather.log, key_of(place.record), place.record.klen)
        )
        gather.ask_at += record_units(place.record, gather.ask_at)
        gather.asked += 1


cdef inline bint pass_zeros(gather_t* gather, const uint64_t* unit, uint64_t room) noexcept nogil:
    """Go past units of zeros, of which most of a segment that is not full consists: to the end of
    the page at most, since the next one may be missing, and to where no header has room. False when
    there is none.
    """
    cdef uint64_t count = 0
    cdef uint64_t most = min(
        room - FM_RECORD_HEADER + FM_UNIT, FM_PAGE - (<uint64_t>unit & (FM_PAGE - 1))
    ) // FM_UNIT
    cdef uint64_t first, last
    while count < most and unit[2 * count] == 0 and unit[2 * count + 1] == 0:
        count += 1
    if count == 0:
        return False
    first = gather.at + (FM_SEAL_UNITS - gather.gap if gather.gap < FM_SEAL_UNITS else 0)
    first = max(first, gather.vouched)
    last = min(gather.at + count, gather.tail)
    gather.holes += last - first if last > first else 0
    gather.gap += count
    gather.at += count
    return True
