"""The mapped segments of a tier, and the places in them that words lead to."""

from libc.stdint cimport uint64_t
from fastmem._core.layout cimport (
    FM_LOCATION_MASK, FM_RECORD_HEADER, FM_TIER_BIT, FM_UNIT_SHIFT, fm_record, fm_store_release,
)
from fastmem._core.record cimport body_valid, cold_of, header_valid
from fastmem._core.residency cimport PAGE_BITS, are_known

cdef enum:
    WARM = 0
    COLD = 1

cdef enum:
    GONE = 1              # in place of the size of a segment that is not mapped, and never will be

ctypedef struct segment_t:
    char* base            # NULL when it is not mapped
    uint64_t size         # bytes mapped; a cut file maps fewer than a segment's
    uint64_t* known       # a bit for each page known to be in memory (residency.pxd)

ctypedef struct tier_t:
    segment_t* segments   # numbers first .. first + count - 1
    uint64_t first
    uint64_t count
    uint64_t room
    uint64_t salt
    uint64_t bit          # FM_TIER_BIT in the words of the cold tier, else 0
    uint64_t* tail        # in the store's first page
    uint64_t* inverse     # ~tail
    uint64_t* head
    uint64_t segment_bytes
    int shift             # log2 of units in a segment

ctypedef struct place_t:  # where a word leads
    const fm_record* record
    const tier_t* tier
    const segment_t* segment
    uint64_t at
    uint64_t room         # bytes mapped from there to the segment's end


cdef inline uint64_t segment_begin(const tier_t* tier, uint64_t at) noexcept nogil:
    """The first address of the segment that an address lies in."""
    return at >> tier.shift << tier.shift


cdef inline uint64_t segment_end(const tier_t* tier, uint64_t at) noexcept nogil:
    return segment_begin(tier, at) + (1ULL << tier.shift)


cdef inline void move_tail(const tier_t* tier, uint64_t at) noexcept nogil:
    """Publish what lies before an address, under the lock."""
    fm_store_release(tier.tail, at)
    fm_store_release(tier.inverse, ~at)


cdef inline bint tail_agrees(const tier_t* tier) noexcept nogil:
    """False when a tail was changed by anything but `move_tail`. Under the lock."""
    return tier.tail[0] == ~tier.inverse[0]


cdef inline bint tail_likely(const tier_t* tier) noexcept nogil:
    """As `tail_agrees`, of a holder of the lock who may have died in the middle of `move_tail`."""
    # 0 is the inverse of no tail: the line was wiped.
    return tier.inverse[0] != 0 and tier.tail[0] - ~tier.inverse[0] <= 2ULL << tier.shift


cdef inline bint is_mapped(const tier_t* tier, uint64_t at) noexcept nogil:
    """True when the segment that an address lies in is mapped."""
    cdef uint64_t number = at >> tier.shift
    return (
        number >= tier.first and number - tier.first < tier.count
        and tier.segments[number - tier.first].base != NULL
    )


cdef inline bint locate_at(const tier_t* tier, uint64_t at, place_t* place) noexcept nogil:
    """The place of an address of a tier. Room for a header is all that is promised there."""
    cdef uint64_t number = at >> tier.shift
    cdef uint64_t offset
    cdef const segment_t* segment
    if number < tier.first or number - tier.first >= tier.count:
        return False
    segment = &tier.segments[number - tier.first]
    offset = (at << FM_UNIT_SHIFT) & (tier.segment_bytes - 1)
    if offset + FM_RECORD_HEADER > segment.size:
        return False
    place.record = <const fm_record*>(segment.base + offset)
    place.tier = tier
    place.segment = segment
    place.at = at
    place.room = segment.size - offset
    return True


cdef inline bint locate(const tier_t* tiers, uint64_t word, place_t* place) noexcept nogil:
    """Where a word leads, bounds checked; False when no mapped segment holds it."""
    return locate_at(&tiers[1 if word & FM_TIER_BIT else 0], word & FM_LOCATION_MASK, place)


cdef inline bint valid(const place_t* place) noexcept nogil:
    """True when a header and key that validate stand at a place."""
    return header_valid(place.record, place.at, place.room, place.tier.salt)


cdef inline bint in_memory(const place_t* place, uint64_t length) noexcept nogil:
    """True when the pages are known to be in memory that `length` bytes from a place on take."""
    cdef uint64_t offset = <const char*>place.record - place.segment.base
    return are_known(
        place.segment.known, offset >> PAGE_BITS,
        (offset + min(length, place.room) - 1) >> PAGE_BITS,
    )


cdef inline bint whole(const place_t* place) noexcept nogil:
    """True when a record stands at a place, body included."""
    return valid(place) and body_valid(place.record, place.at)


cdef inline uint64_t version_of(const place_t* place) noexcept nogil:
    """The version of a sound record: its address, or its origin when it is cold."""
    return cold_of(place.record).origin if place.tier.bit else place.at


cdef void tier_init(
    tier_t* tier, uint64_t* tail, uint64_t* inverse, uint64_t* head, uint64_t bit,
    uint64_t segment_bytes, uint64_t salt,
) noexcept nogil
cdef int tier_map(
    tier_t* tier, uint64_t lowest, uint64_t number, char* base, uint64_t size, uint64_t* known
) noexcept nogil
cdef void tier_unmap(tier_t* tier, uint64_t number) noexcept nogil
cdef bint is_unmapped(const tier_t* tiers, uint64_t word) noexcept nogil
