"""The segments of a tier: an array over their numbers, two loads from a word to its record."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memmove, memset
from fastmem._core.faults cimport peek
from fastmem._core.layout cimport FM_LOCATION_MASK, FM_TIER_BIT, FM_UNIT


cdef void tier_init(
    tier_t* tier, uint64_t* tail, uint64_t* inverse, uint64_t* head, uint64_t bit,
    uint64_t segment_bytes, uint64_t salt,
) noexcept nogil:
    memset(tier, 0, sizeof(tier_t))
    tier.tail = tail
    tier.inverse = inverse
    tier.head = head
    tier.bit = bit
    tier.segment_bytes = segment_bytes
    tier.salt = salt
    while segment_bytes and (<uint64_t>FM_UNIT << tier.shift) < segment_bytes:
        tier.shift += 1


cdef int tier_map(
    tier_t* tier, uint64_t lowest, uint64_t number, char* base, uint64_t size, uint64_t* known
) noexcept nogil:
    """Take a segment in, none older than the first; with NULL note that it is gone. None
    older than `lowest` will come. -1 when there is no memory; nothing changed.
    """
    cdef uint64_t first = tier.first if tier.count else lowest
    cdef uint64_t wanted = number - first + 1
    cdef segment_t* grown
    if wanted > tier.room:
        grown = <segment_t*>realloc(tier.segments, 2 * wanted * sizeof(segment_t))
        if grown == NULL:
            return -1
        tier.segments = grown
        tier.room = 2 * wanted
    tier.first = first
    while tier.count < wanted:
        tier.segments[tier.count] = segment_t(NULL, 0, NULL)
        tier.count += 1
    tier.segments[wanted - 1] = segment_t(
        base, min(size, tier.segment_bytes) if base else GONE, known
    )
    return 0


cdef void tier_unmap(tier_t* tier, uint64_t number) noexcept nogil:
    """Let go of a mapped segment, and of the numbers before the first that is left."""
    cdef uint64_t gone = 0
    tier.segments[number - tier.first] = segment_t(NULL, GONE, NULL)
    while gone < tier.count and tier.segments[gone].base == NULL and (
        tier.segments[gone].size == GONE or tier.first + gone < peek(tier.head) >> tier.shift
    ):
        gone += 1
    tier.first += gone
    tier.count -= gone
    memmove(tier.segments, tier.segments + gone, tier.count * sizeof(segment_t))


cdef bint is_unmapped(const tier_t* tiers, uint64_t word) noexcept nogil:
    """True when a word leads into a segment that may be there, and that nobody has asked for yet:
    another process began it.
    """
    cdef const tier_t* tier = &tiers[1 if word & FM_TIER_BIT else 0]
    cdef uint64_t number = (word & FM_LOCATION_MASK) >> tier.shift
    if tier.segment_bytes == 0 or number > peek(tier.tail) >> tier.shift:
        return False
    if number < peek(tier.head) >> tier.shift or tier.count and number < tier.first:
        return False
    return number - tier.first >= tier.count or tier.segments[number - tier.first].size == 0
