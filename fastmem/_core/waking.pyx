"""Pages that a reader would have to wait for, with the GIL: they are waited for without it."""

from libc.stdint cimport uint64_t
from fastmem._core.faults cimport stay
from fastmem._core.layout cimport FM_UNIT_SHIFT
from fastmem._core.residency cimport (
    PAGE_BITS, ask, await_pages, bits_forget, major_faults, note_known,
)
from fastmem._core.tiers cimport place_t, tier_t


cdef bint wake_pages(look_t* look, Mapping mapping, bint wait) except -1:
    """See to the pages that a look was too wary to touch: of `mapping`, that of the segment. True
    when they are in memory, or were waited for, if it may `wait`: the GIL is free meanwhile.
    """
    cdef const place_t* place = &look.found.place
    cdef const char* base = mapping.base
    cdef uint64_t size = min(<uint64_t>mapping.size, place.tier.segment_bytes)
    cdef uint64_t offset = (place.at << FM_UNIT_SHIFT) & (place.tier.segment_bytes - 1)
    cdef uint64_t first = offset >> PAGE_BITS
    cdef uint64_t last = (offset + min(look.length, place.room) - 1) >> PAGE_BITS
    cdef uint64_t waits = 0
    stay()
    if ask(base, size, mapping.known, first, last):
        return True
    if not wait:
        return False
    look.log.cold_reads += 1
    mapping.exports += 1  # a close() by another thread must wait
    try:
        with nogil:
            waits = await_pages(base, size, first, last)
    finally:
        mapping.give_back()
    note_known(mapping.known, first, last)
    look.log.own_waits += waits
    return True


cdef void check_pages(log_t* log) noexcept:
    """Once in a while: forget what was in memory, if somebody has had to wait for a page since."""
    cdef uint64_t waits = major_faults() - log.own_waits
    cdef tier_t* tier
    cdef uint64_t i
    cdef int which
    stay()
    if waits == log.waits_seen:
        return
    log.waits_seen = waits
    for which in range(2):
        tier = &log.tier[which]
        for i in range(tier.count):
            if tier.segments[i].base != NULL:
                bits_forget(tier.segments[i].known, tier.segments[i].size)
