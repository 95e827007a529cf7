"""Whether an index belongs to its log. See bounds.pxd."""

from libc.stdint cimport uint64_t
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport (
    LAST_SLOT, SLOTS, bucket_count, cursor_t, first_slot, index_sound, index_t, next_entry,
    next_slot, shared_tag,
)
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_LINK_BIT, FM_LOCATION_MASK, FM_SEAL_UNITS, FM_TAG_SHIFT, FM_TIER_BIT,
    fm_bucket, fm_index, fm_load_acquire, fm_super,
)
from fastmem._core.record cimport record_units
from fastmem._core.tiers cimport (
    COLD, WARM, locate, locate_at, place_t, segment_begin, tier_t, valid,
)

cdef extern from * nogil:
    """
    #include <sys/mman.h>
    #ifndef MADV_POPULATE_READ
    #define MADV_POPULATE_READ 22
    #endif
    #define fm_prefetch(line) __builtin_prefetch(line)
    """
    int madvise(void* base, size_t size, int advice)
    int MADV_POPULATE_READ
    void fm_prefetch(const void* line)

cdef enum:
    LONGEST_GAP = 1 << 20  # segment numbers that a lost directory may have cost
    AHEAD = 24             # buckets that a pass asks memory for before it comes to them


cdef void examine(void* of) noexcept nogil:
    cdef facts_t* facts = <facts_t*>of
    cdef log_t* state = facts.log
    cdef span_t* spans = facts.spans
    cdef int which
    facts.lost = 0
    if not index_sound(&state.index):
        return
    fault_in(&state.index)
    if not survey(&state.index, state.tier, spans):
        return
    if spans[WARM].entries != state.index.head.warm_entries or (
        spans[COLD].entries != state.index.head.cold_entries
    ):
        return
    for which in range(2):
        if spans[which].end > state.tier[which].tail[0]:
            return
        if not tail_sound(&state.tier[which], &spans[which]):
            return
    for which in range(2):
        if spans[which].cornered or not mapped(
            &state.tier[which], spans[which].lowest, spans[which].end
        ):
            facts.lost = count_lost(state)
            break
    facts.sound = True


cdef void fault_in(const index_t* index) noexcept nogil:
    """Map the pages of a sound index at once. A kernel before 5.14 maps them as they are read."""
    madvise(index.buckets, bucket_count(index) * sizeof(fm_bucket), MADV_POPULATE_READ)
    madvise(index.overflow, index.head.overflow_next * sizeof(fm_bucket), MADV_POPULATE_READ)


cdef bint survey(const index_t* index, const tier_t* tiers, span_t* spans) noexcept nogil:
    """Tell of each tier where its slots lead. False when a tag does not fit its bucket."""
    cdef uint64_t home
    cdef uint64_t expected
    cdef uint64_t word = 0
    cdef uint64_t misfits = 0
    cdef uint64_t among
    cdef const fm_bucket* bucket
    cdef cursor_t cursor
    cdef int slot
    cdef int which
    for which in range(2):
        spans[which] = span_t(0, FM_LOCATION_MASK, 0, 0, (1ULL << tiers[which].shift) - 1)
    for home in range(bucket_count(index)):
        among = 0
        expected = home >> index.head.initial_level << FM_TAG_SHIFT
        bucket = &index.buckets[home]
        fm_prefetch(bucket + AHEAD)
        if bucket.slot[LAST_SLOT] & FM_LINK_BIT:
            first_slot(index, home, &cursor)
            while next_slot(index, &cursor, &word):
                if word:
                    among |= word ^ expected
                    widen(spans, word)
        else:  # most: without the cursor's steps
            for slot in range(SLOTS):
                word = bucket.slot[slot]
                if word:
                    among |= word ^ expected
                    widen(spans, word)
        misfits |= among & shared_tag(index, home)
    return misfits == 0


cdef inline void widen(span_t* spans, uint64_t word) noexcept nogil:
    cdef span_t* span = &spans[COLD if word & FM_TIER_BIT else WARM]
    cdef uint64_t at = word & FM_LOCATION_MASK
    span.entries += 1
    span.lowest = min(span.lowest, at)
    span.end = max(span.end, at + 1)
    span.cornered += (at & span.mask) + FM_SEAL_UNITS > span.mask + 1


cdef bint mapped(const tier_t* tier, uint64_t first, uint64_t end) noexcept nogil:
    """True when all segments that hold an address from `first` on and below `end` are mapped in
    full.
    """
    cdef uint64_t number
    if first >= end:
        return True
    if first >> tier.shift < tier.first or (end - 1) >> tier.shift >= tier.first + tier.count:
        return False
    for number in range(first >> tier.shift, ((end - 1) >> tier.shift) + 1):
        if tier.segments[number - tier.first].size < tier.segment_bytes:
            return False
    return True


cdef uint64_t count_lost(const log_t* log) noexcept nogil:
    """How many slots lead to no mapped segment."""
    cdef uint64_t lost = 0
    cdef uint64_t word = 0
    cdef cursor_t cursor
    cdef place_t place
    first_slot(&log.index, 0, &cursor)
    while next_entry(&log.index, &cursor, &word):
        lost += not locate(log.tier, word, &place)
    return lost


cdef void take_digest(void* of) noexcept nogil:
    cdef facts_t* told = <facts_t*>of
    cdef index_t* index = &told.log.index
    cdef fm_index* head = index.head
    cdef uint64_t facts[7]
    if not index_sound(index):
        return
    fault_in(index)
    facts[0] = fm_load_acquire(&head.directory)
    facts[1] = head.warm_entries
    facts[2] = head.cold_entries
    facts[3] = told.log.sup.tail
    facts[4] = told.log.sup.cold_tail
    facts[5] = xxh3(index.buckets, bucket_count(index) * sizeof(fm_bucket))
    facts[6] = xxh3(index.overflow, head.overflow_next * sizeof(fm_bucket))
    told.digest = xxh3(facts, sizeof(facts))


cdef void compare_bounds(void* of) noexcept nogil:
    cdef facts_t* facts = <facts_t*>of
    cdef const fm_super* sup = facts.log.sup
    cdef const tier_t* tiers = facts.log.tier
    if tiers[WARM].segment_bytes and not mapped(&tiers[WARM], sup.head, sup.tail):
        return
    facts.sound = not tiers[COLD].segment_bytes or mapped(
        &tiers[COLD], sup.cold_head, sup.cold_tail
    )


cdef bint tail_sound(const tier_t* tier, const span_t* span) noexcept nogil:
    """True when the records of the tail's segment, read one after the other, end at the tail.

    From the last one on that a slot leads to, if its header is sound: a record begins there.
    """
    cdef uint64_t tail = tier.tail[0]
    cdef uint64_t at
    cdef place_t place
    if tier.segment_bytes == 0:
        return True
    at = segment_begin(tier, tail) + FM_HEADER_UNITS
    if tier.count and (tail >> tier.shift) >= tier.first + tier.count + LONGEST_GAP:
        return False
    if tail <= at:
        return True
    if span.end > at and locate_at(tier, span.end - 1, &place) and valid(&place):
        at = span.end - 1
    while at < tail:
        if not locate_at(tier, at, &place):
            return True  # the segment is lost, or cut before the tail
        if valid(&place):
            at += record_units(place.record, at)
        else:
            at += 1
    return at == tail
