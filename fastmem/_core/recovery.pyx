"""Whether an index belongs to its log, and finishing what a dead writer had begun in both."""

from libc.stdint cimport uint64_t
from fastmem._core.appending cimport advance
from fastmem._core.hashing cimport xxh3_seeded
from fastmem._core.index cimport (
    bucket_count, cursor_t, first_slot, home_of, index_sound, index_t, insert_word, next_entry,
    recover_index, replace_word, tag_fits, tag_of,
)
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_LOCATION_MASK, FM_SEAL, FM_TIER_BIT, FM_TOMBSTONE, fm_bucket,
    fm_load_acquire, fm_record, fm_store_release,
)
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, find, log_t
from fastmem._core.needs cimport NEED_OVERFLOW
from fastmem._core.record cimport cold_of, key_of, record_units, void_record
from fastmem._core.tiers cimport (
    COLD, WARM, locate, locate_at, place_t, segment_begin, segment_end, tier_t, valid, version_of,
    whole,
)

cdef enum:
    LONGEST_GAP = 1 << 20  # segment numbers that a lost directory may have cost


def sound(Log log not None):
    """-1 when index and bounds of the log do not belong together, else how many slots lead to
    segments that are not mapped. Reads the index, and the headers of the tail's segments; writes
    nothing.

    Every slot leads below the tail, its tag fits its bucket, the counts are exact, and no record
    lies across a tail. A damaged bound or counter would otherwise have live records overwritten,
    or the table grown without end.
    """
    cdef log_t* state = &log.state
    cdef uint64_t lost = 0
    cdef uint64_t word = 0
    cdef uint64_t tally[2]
    cdef cursor_t cursor
    cdef place_t place
    cdef int which
    log.require_open()
    if not index_sound(&state.index):
        return -1
    tally[WARM] = tally[COLD] = 0
    first_slot(&state.index, 0, &cursor)
    while next_entry(&state.index, &cursor, &word):
        which = COLD if word & FM_TIER_BIT else WARM
        tally[which] += 1
        if not tag_fits(&state.index, cursor.home, word):
            return -1
        if (word & FM_LOCATION_MASK) >= state.tier[which].tail[0]:
            return -1
        if not locate(state.tier, word, &place):
            lost += 1
    if (tally[WARM], tally[COLD]) != (log.warm_entries, log.cold_entries):
        return -1
    if not (tail_sound(&state.tier[WARM]) and tail_sound(&state.tier[COLD])):
        return -1
    return lost


def oldest(Log log not None, int which):
    """Return the lowest address of a tier that a slot leads to; above all others when none does."""
    cdef uint64_t lowest = FM_LOCATION_MASK
    cdef uint64_t word = 0
    cdef cursor_t cursor
    log.require_open()
    first_slot(&log.state.index, 0, &cursor)
    while next_entry(&log.state.index, &cursor, &word):
        if word & FM_TIER_BIT == log.state.tier[which].bit:
            lowest = min(lowest, word & FM_LOCATION_MASK)
    return lowest


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
    """Return a checksum of the buckets in use and of the counts; what a clean close leaves."""
    cdef index_t* index = &log.state.index
    cdef uint64_t digest
    log.require_open()
    if not index_sound(index):
        return 0
    digest = xxh3_seeded(
        index.buckets, bucket_count(index) * sizeof(fm_bucket),
        fm_load_acquire(&index.head.directory),
    )
    digest ^= index.head.warm_entries + (index.head.cold_entries << 32)
    return xxh3_seeded(index.overflow, index.head.overflow_next * sizeof(fm_bucket), digest)


cdef bint tail_sound(const tier_t* tier) noexcept nogil:
    """True when the records of the tail's segment, read one after the other, end at the tail."""
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
    call again. Afterwards the lock is free.
    """
    cdef log_t* state = &log.state
    cdef uint64_t redone = 0
    cdef tier_t* tier
    cdef int which
    cdef place_t place
    log.require_open()
    log.need = 0
    if not recover_index(&state.index):
        return -1
    for which in range(2):
        tier = &state.tier[which]
        while tier.segment_bytes and locate_at(tier, tier.tail[0], &place) and whole(&place):
            if place.record.kind == FM_SEAL:
                if not locate_at(tier, segment_end(tier, place.at) + FM_HEADER_UNITS, &place):
                    break
                fm_store_release(tier.tail, place.at)
            elif redo(state, &place, &log.need):
                redone += 1
                advance(state, tier, record_units(place.record, place.at))
            elif log.need:
                return redone
            else:
                void_record(<fm_record*>place.record)
                break
    fm_store_release(&state.sup.lock, 0)
    return redone


cdef bint redo(log_t* log, const place_t* place, int* need) noexcept nogil:
    """Apply the record at a tail. False: it `need`s something first, or was never visible."""
    cdef const fm_record* record = place.record
    cdef uint64_t digest = digest_of(log, key_of(record), record.klen)
    cdef uint64_t word = tag_of(&log.index, digest) | place.tier.bit | place.at
    cdef cursor_t cursor
    cdef place_t older
    cdef uint64_t old = find(log, key_of(record), record.klen, digest, &cursor, &older)
    if record.kind == FM_TOMBSTONE:
        # A cold one may stand for a version that a newer one has replaced since.
        if old and version_of(&older) <= version_of(place):
            replace_word(&log.index, &cursor, old, 0)
    elif place.tier.bit:
        # A cold record is a move or an archive's put: applied already, or never visible.
        if old != word:
            return False
        if log.sup.tail <= cold_of(record).origin:
            fm_store_release(&log.sup.tail, cold_of(record).origin + 1)
    elif old and old != word:
        replace_word(&log.index, &cursor, old, word)
    elif not old and not insert_word(&log.index, home_of(&log.index, digest), word):
        need[0] = NEED_OVERFLOW
        return False
    return True
