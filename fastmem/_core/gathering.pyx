"""Reading a segment for a rebuild, under guards. See gathering.pxd."""

from libc.stdint cimport uint64_t
from fastmem._core.faults cimport guarded
from fastmem._core.layout cimport FM_SEAL, FM_SEAL_UNITS
from fastmem._core.looking cimport copy_head
from fastmem._core.record cimport body_valid
from fastmem._core.skips cimport skipped_units
from fastmem._core.tiers cimport locate_at, place_t, valid
from fastmem._core.walking cimport after_page


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
    return gather.there


cdef void come_to_record(void* facts) noexcept nogil:
    """It touches nothing but the segment, and steps on before it touches the next bytes of it."""
    cdef gather_t* gather = <gather_t*>facts
    cdef place_t* place = &gather.found.place
    cdef uint64_t skipped
    gather.there = False
    while gather.at < gather.end and locate_at(gather.tier, gather.at, place):
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
        if not gather.in_run and not zero_unit(<const uint64_t*>place.record):
            gather.dropped += 1
            gather.in_run = True
        gather.at += 1


cdef inline bint zero_unit(const uint64_t* unit) noexcept nogil:
    return unit[0] == 0 and unit[1] == 0
