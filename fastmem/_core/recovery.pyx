"""Whether an index belongs to its log, and finishing what a dead writer had begun in both."""

from libc.stdint cimport int64_t, uint64_t
from fastmem._core.appending cimport advance
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport (
    LAST_SLOT, SLOTS, bucket_count, cursor_t, first_slot, home_of, index_sound, index_t,
    insert_word, next_entry, next_slot, recover_index, replace_word, shared_tag, tag_of,
)
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_LINK_BIT, FM_LOCATION_MASK, FM_SEAL, FM_SEAL_UNITS, FM_TAG_SHIFT,
    FM_TIER_BIT, FM_TOMBSTONE, fm_bucket, fm_index, fm_load_acquire, fm_record,
    fm_store_release, fm_super,
)
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, find, log_t
from fastmem._core.needs cimport NEED_MAPPING, NEED_OVERFLOW
from fastmem._core.record cimport cold_of, key_of, record_units, void_record
from fastmem._core.tiers cimport (
    COLD, WARM, locate, locate_at, move_tail, place_t, segment_begin, segment_end, tier_t, valid,
    version_of, whole,
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

ctypedef struct span_t:  # of the slots of a tier
    uint64_t entries
    uint64_t lowest       # address; above all others when there is none
    uint64_t end          # one past the highest
    uint64_t cornered     # so close to a segment's end that no record begins there
    uint64_t mask         # of an address: its place in the segment


def sound(Log log not None):
    """None when index and bounds of the log do not belong together, else three numbers: how many
    slots lead to segments that are not mapped, and the lowest address of each tier that a slot
    leads to, above all others where none does.

    Every slot leads below the tail, its tag fits its bucket, the counts are exact, and no record
    lies across a tail. A damaged bound or counter would otherwise have live records overwritten,
    or the table grown without end. One pass over the index, and the headers between the last
    record that a slot leads to and the tail; writes nothing.
    """
    cdef log_t* state = &log.state
    cdef span_t spans[2]
    cdef uint64_t lost = 0
    cdef int which
    log.require_open()
    if not index_sound(&state.index):
        return None
    fault_in(&state.index)
    if not survey(&state.index, state.tier, spans):
        return None
    if (spans[WARM].entries, spans[COLD].entries) != (log.warm_entries, log.cold_entries):
        return None
    for which in range(2):
        if spans[which].end > state.tier[which].tail[0]:
            return None
        if not tail_sound(&state.tier[which], &spans[which]):
            return None
    for which in range(2):
        if spans[which].cornered or not mapped(
            &state.tier[which], spans[which].lowest, spans[which].end
        ):
            lost = count_lost(state)
            break
    return lost, spans[WARM].lowest, spans[COLD].lowest


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


def forget_lost(Log log not None):
    """Clear every slot that leads to no mapped segment."""
    cdef uint64_t word = 0
    cdef cursor_t cursor
    cdef place_t place
    log.require_open()
    first_slot(&log.state.index, 0, &cursor)
    while next_entry(&log.state.index, &cursor, &word):
        if not locate(log.state.tier, word, &place):
            replace_word(&log.state.index, &cursor, word, 0)


def index_digest(Log log not None):
    """Return a checksum of the buckets in use, the counts and the tails; what a clean close
    leaves. 0: the index makes no sense.
    """
    cdef index_t* index = &log.state.index
    cdef fm_index* head = index.head
    cdef uint64_t facts[7]
    log.require_open()
    if not index_sound(index):
        return 0
    fault_in(index)
    facts[0] = fm_load_acquire(&head.directory)
    facts[1] = head.warm_entries
    facts[2] = head.cold_entries
    facts[3] = log.state.sup.tail
    facts[4] = log.state.sup.cold_tail
    facts[5] = xxh3(index.buckets, bucket_count(index) * sizeof(fm_bucket))
    facts[6] = xxh3(index.overflow, head.overflow_next * sizeof(fm_bucket))
    return xxh3(facts, sizeof(facts))


def nothing_lost(Log log not None):
    """True when all segments are mapped in full that a record between head and tail may lie in."""
    cdef const fm_super* sup = log.state.sup
    cdef const tier_t* tiers = log.state.tier
    log.require_open()
    if tiers[WARM].segment_bytes and not mapped(&tiers[WARM], sup.head, sup.tail):
        return False
    return not tiers[COLD].segment_bytes or mapped(&tiers[COLD], sup.cold_head, sup.cold_tail)


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


def recover(Log log not None):
    """Finish what a process that died under the lock had begun. Return the records redone.

    -1: the index makes no sense and must be rebuilt. With `need` set on return: provide it and
    call again. Afterwards the lock is free. For who has the store alone; see turns.pyx.
    """
    cdef int64_t redone
    log.require_open()
    redone = finish(&log.state, &log.need)
    if redone >= 0 and not log.need:
        fm_store_release(&log.state.sup.lock, 0)
    return redone


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
