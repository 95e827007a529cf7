"""Finishing what a dead writer had begun, and rebuilding the index from the log."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from fastmem._core.hashing cimport xxh3_seeded
from fastmem._core.index cimport (
    bucket_count, cursor_t, first_slot, home_of, index_sound, insert_word, next_slot,
    recover_index, replace_word, split_some, tag_fits, wants_growth,
)
from fastmem._core.layout cimport (
    FM_LOCATION_MASK, FM_POINTER, FM_SEAL, FM_TIER_BIT, FM_TOMBSTONE, fm_bucket, fm_load_acquire,
    fm_record, fm_store_release,
)
from fastmem._core.log cimport COLD, NEED_OVERFLOW, WARM, Log, place_t, tier_t
from fastmem._core.record cimport (
    body_offset, body_valid, cold_of, header_valid, key_of, record_units, void_record,
)
from fastmem._core.scan cimport valid_at, word_at

cdef enum:
    HEADER_UNITS = 4
    LONGEST_GAP = 1 << 20  # segment numbers that a lost directory may have cost


def sound(Log log not None):
    """-1 when index and bounds of the log do not belong together, else how many slots lead to
    segments that are not mapped. Reads the index, and the headers of the tail's segments; writes
    nothing.

    Every slot leads below the tail, its tag fits its bucket, the counts are exact, and no record
    lies across a tail. A damaged bound or counter would otherwise have live records overwritten,
    or the table grown without end.
    """
    cdef uint64_t home
    cdef uint64_t lost = 0
    cdef uint64_t word = 0
    cdef uint64_t tally[2]
    cdef cursor_t cursor
    cdef place_t place
    cdef int which
    if not index_sound(&log.index):
        return -1
    tally[0] = tally[1] = 0
    for home in range(bucket_count(&log.index)):
        first_slot(&log.index, home, &cursor)
        while next_slot(&log.index, &cursor, &word):
            if word == 0:
                continue
            which = COLD if word & FM_TIER_BIT else WARM
            tally[which] += 1
            if not tag_fits(&log.index, home, word):
                return -1
            if (word & FM_LOCATION_MASK) >= (
                log.sup.cold_tail if which == COLD else log.sup.tail
            ):
                return -1
            if not log.locate(word, &place):
                lost += 1
    if tally[0] != log.index.head.warm_entries or tally[1] != log.index.head.cold_entries:
        return -1
    if not (tail_sound(log, WARM) and tail_sound(log, COLD)):
        return -1
    return lost


def forget_lost(Log log not None):
    """Clear every slot that leads to no mapped segment. Return how many."""
    cdef uint64_t home
    cdef uint64_t word = 0
    cdef uint64_t cleared = 0
    cdef cursor_t cursor
    cdef place_t place
    for home in range(bucket_count(&log.index)):
        first_slot(&log.index, home, &cursor)
        while next_slot(&log.index, &cursor, &word):
            if word and not log.locate(word, &place):
                replace_word(&log.index, &cursor, word, 0)
                cleared += 1
    return cleared


def index_digest(Log log not None):
    """Return a checksum of the buckets in use and of the counts; what a clean close leaves."""
    cdef uint64_t digest
    log.require_open()
    if not index_sound(&log.index):
        return 0
    digest = xxh3_seeded(
        log.index.buckets, bucket_count(&log.index) * sizeof(fm_bucket),
        fm_load_acquire(&log.index.head.directory),
    )
    digest ^= log.index.head.warm_entries + (log.index.head.cold_entries << 32)
    return xxh3_seeded(
        log.index.overflow, log.index.head.overflow_next * sizeof(fm_bucket), digest
    )


cdef bint tail_sound(Log log, int which) noexcept:
    """True when the records of the tail's segment, read one after the other, end at the tail."""
    cdef tier_t* tier = &log.tier[which]
    cdef uint64_t tail = log.sup.cold_tail if which == COLD else log.sup.tail
    cdef uint64_t at
    cdef place_t place
    if tier.segment_bytes == 0:
        return True
    at = tail & ~((1ULL << tier.shift) - 1)
    if tier.count and (tail >> tier.shift) >= tier.first + tier.count + LONGEST_GAP:
        return False
    if tail <= at + HEADER_UNITS:
        return True
    at += HEADER_UNITS
    while at < tail:
        if not log.locate_tail(which, at, &place):
            return True  # the segment is lost, or cut before the tail
        if header_valid(place.record, at, place.room, tier.salt):
            at += record_units(place.record, at)
        else:
            at += 1
    return at == tail


def recover(Log log not None):
    """Finish what a process that died under the lock had begun. Return the records redone.

    -1: the index makes no sense and must be rebuilt. With `need` set on return: provide it and
    call again. Afterwards the lock is free.
    """
    cdef place_t place
    cdef uint64_t redone = 0
    cdef uint64_t at
    cdef uint64_t end
    cdef int which
    log.need = 0
    if not recover_index(&log.index):
        return -1
    for which in (WARM, COLD):
        if log.tier[which].segment_bytes == 0:
            continue
        while True:
            at = log.sup.cold_tail if which == COLD else log.sup.tail
            end = (at | ((1ULL << log.tier[which].shift) - 1)) + 1
            if not valid_at(log, which, at, &place):
                break
            if place.record.kind == FM_SEAL:
                if not log.locate_tail(which, end + HEADER_UNITS, &place):
                    break
                fm_store_release(
                    &log.sup.cold_tail if which == COLD else &log.sup.tail, end + HEADER_UNITS
                )
                continue
            if not redo(log, which, at, &place):
                if log.need:
                    return redone
                void_record(<fm_record*>place.record)
                break
            redone += 1
            log.advance(which, record_units(place.record, at))
    fm_store_release(&log.sup.lock, 0)
    return redone


cdef bint redo(Log log, int which, uint64_t at, place_t* place) except? 1:
    """Apply the record at the tail. False: it needs overflow room, or was never visible."""
    cdef const char* key = key_of(place.record)
    cdef uint64_t klen = place.record.klen
    cdef uint64_t digest = log.digest_of(key, klen)
    cdef uint64_t word = word_at(log, which, digest, at)
    cdef cursor_t cursor
    cdef place_t older
    cdef uint64_t old = log.find(key, klen, digest, &cursor, &older)
    if place.record.kind == FM_TOMBSTONE:
        # A cold one may stand for a version that a newer one has replaced since.
        if old and log.version_at(old) <= log.version_at(word):
            replace_word(&log.index, &cursor, old, 0)
    elif which == COLD:
        # A cold record is a move or an archive's put: applied already, or never visible.
        if old != word:
            return False
        if log.sup.tail <= cold_of(place.record).origin:
            fm_store_release(&log.sup.tail, cold_of(place.record).origin + 1)
    elif old and old != word:
        replace_word(&log.index, &cursor, old, word)
    elif not old and not insert_word(&log.index, home_of(&log.index, digest), word):
        log.need = NEED_OVERFLOW
        return False
    return True


def absorb(
    Log log not None, int which, uint64_t number, uint64_t at, list counts not None, vouch,
    uint64_t vouched,
):
    """Rebuild: index the records of one segment from address `at` on, newest version wins.

    Return the address to go on from, 0 when the segment is done. It stops early when the index
    files must grow (`need` or `chores`). `counts` is [records, dropped, end, newest]: whole
    records seen, runs of bytes that are not zero and no record, the end of the last whole record
    (0: none), and the newest version.
    Tombstones are indexed too, until `sweep`. Below address `vouched` every record was whole once:
    one whose body is damaged is indexed all the same, as lost, rather than let an older version
    return. From there on it counts for nothing, and so does a pointer unless `vouch(key, pointer)`
    is true: a power loss may have torn either.
    """
    cdef tier_t* tier = &log.tier[which]
    cdef uint64_t end = (number + 1) << tier.shift
    cdef place_t place
    cdef bint in_run = False
    cdef bint whole
    cdef uint64_t digest
    log.need = 0
    if at == 0:
        at = (number << tier.shift) + HEADER_UNITS
    while at < end and log.locate_tail(which, at, &place):
        if not header_valid(place.record, at, place.room, tier.salt):
            if not in_run and not zero_unit(<const uint64_t*>place.record):
                counts[1] += 1
                in_run = True
            at += 1
            continue
        in_run = False
        if place.record.kind == FM_SEAL:
            counts[2] = at
            return 0
        whole = body_valid(place.record, at)
        if whole and at >= vouched and place.record.kind == FM_POINTER:
            whole = vouch(
                PyBytes_FromStringAndSize(key_of(place.record), place.record.klen),
                PyBytes_FromStringAndSize(
                    <const char*>place.record + body_offset(place.record, at), place.record.vlen
                ),
            )
        if not whole:
            counts[1] += 1
        if whole or at < vouched:
            digest = log.digest_of(key_of(place.record), place.record.klen)
            if not take(log, word_at(log, which, digest, at), digest, &place):
                return at
            counts[0] += 1
            counts[3] = max(counts[3], log.version_at(word_at(log, which, digest, at)))
        at += record_units(place.record, at)
        counts[2] = at
        if wants_growth(&log.index):
            log.chores |= split_some(&log.index)
            if log.chores & 3:
                return at
    return 0


cdef inline bint zero_unit(const uint64_t* unit) noexcept nogil:
    return unit[0] == 0 and unit[1] == 0


cdef bint take(Log log, uint64_t word, uint64_t digest, place_t* place) except? 1:
    """Index a record unless a newer version is there. False when overflow must grow first.

    Of a record and its copy in the archive, the same version, the warm one serves better; unless
    it points to a value file, which goes as soon as the copy is there.
    """
    cdef const char* key = key_of(place.record)
    cdef cursor_t cursor
    cdef place_t older
    cdef uint64_t old = log.find(key, place.record.klen, digest, &cursor, &older)
    if old == 0:
        if not insert_word(&log.index, home_of(&log.index, digest), word):
            log.need = NEED_OVERFLOW
            return False
        return True
    if log.version_at(word) > log.version_at(old) or (
        log.version_at(word) == log.version_at(old) and old & FM_TIER_BIT
        and place.record.kind != FM_POINTER
    ):
        replace_word(&log.index, &cursor, old, word)
    return True


def sweep(Log log not None):
    """End of a rebuild: remove the tombstones from the index. Return how many there were."""
    cdef uint64_t home
    cdef uint64_t word = 0
    cdef uint64_t removed = 0
    cdef cursor_t cursor
    cdef place_t place
    for home in range(bucket_count(&log.index)):
        first_slot(&log.index, home, &cursor)
        while next_slot(&log.index, &cursor, &word):
            if word and log.locate(word, &place) and place.record.kind == FM_TOMBSTONE:
                replace_word(&log.index, &cursor, word, 0)
                removed += 1
    return removed
