"""Walking the log and the index: reclaim's cursor, iteration, checks."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from fastmem._core.index cimport (
    bucket_count, cursor_t, first_slot, home_of, next_slot, replace_word, tag_of,
)
from fastmem._core.layout cimport (
    FM_COLD, FM_LOCATION_MASK, FM_POINTER, FM_SEAL, FM_TAG_SHIFT, FM_TIER_BIT, FM_TOMBSTONE,
    FM_VALUE, fm_load_acquire, fm_record,
)
from fastmem._core.log cimport COLD, WARM, Log, Record, place_t, tier_t
from fastmem._core.record cimport body_valid, cold_of, header_valid, key_of, record_units

cdef enum:
    GROUPS_A_STEP = 64


cdef bint valid_at(Log log, int which, uint64_t at, place_t* place) noexcept:
    """True when a whole record stands at this address of the tier, body included."""
    return (
        log.locate_tail(which, at, place)
        and header_valid(place.record, place.at, place.room, log.tier[which].salt)
        and body_valid(place.record, place.at)
    )


cdef uint64_t word_at(Log log, int which, uint64_t digest, uint64_t at) noexcept:
    return tag_of(&log.index, digest) | (FM_TIER_BIT if which == COLD else 0) | at


def next_record(Log log not None, int which, uint64_t at):
    """Return (record, address after it) for the first whole record at or after `at`.

    (None, address) at the seal or the end of the segment. `live` tells whether the index leads to
    it; only live records carry their body.
    """
    cdef tier_t* tier = &log.tier[which]
    cdef uint64_t end = (at | ((1ULL << tier.shift) - 1)) + 1
    cdef place_t place
    cdef Record record
    cdef uint64_t word
    log.require_open()
    while at < end and log.locate_tail(which, at, &place):
        if not header_valid(place.record, at, place.room, tier.salt):
            at += 1
            continue
        if place.record.kind == FM_SEAL:
            break
        key = PyBytes_FromStringAndSize(key_of(place.record), place.record.klen)
        word = word_at(log, which, log.digest_of(key_of(place.record), place.record.klen), at)
        if place.record.kind != FM_TOMBSTONE and log.holds(key, word):
            record = log.make_record(word, &place)
            if record is None:  # corrupt body, counted: reported with its key, without a body
                record = head_only(log, word, &place)
            record.live = True
        else:
            record = head_only(log, word, &place)
        return record, at + record_units(place.record, at)
    return None, at


def forget(Log log not None, int which, uint64_t number):
    """Clear every slot that leads into a segment, which is about to go. Return how many.

    Only damage leaves such slots: a record whose header does not validate is met by no walk.
    """
    cdef uint64_t home
    cdef uint64_t word = 0
    cdef uint64_t cleared = 0
    cdef cursor_t cursor
    log.require_open()
    for home in range(bucket_count(&log.index)):
        first_slot(&log.index, home, &cursor)
        while next_slot(&log.index, &cursor, &word):
            if word == 0 or (COLD if word & FM_TIER_BIT else WARM) != which:
                continue
            if (word & FM_LOCATION_MASK) >> log.tier[which].shift == number:
                log.lock()
                replace_word(&log.index, &cursor, word, 0)
                log.unlock()
                cleared += 1
    return cleared


cdef Record head_only(Log log, uint64_t word, const place_t* place):
    cdef const fm_record* head = place.record
    cdef Record record = Record.__new__(Record)
    record.key = PyBytes_FromStringAndSize(key_of(head), head.klen)
    record.word = word
    record.version = log.version_at(word)
    record.deadline_ns = head.deadline_ns
    record.written_ms = (<uint64_t>head.written_high << 32) | head.written_low
    record.raw_len = head.vlen
    record.dictionary = head.dictionary
    if head.flags & FM_COLD:
        record.raw_len = cold_of(head).raw_len
        record.archived_s = cold_of(head).archived_s
    record.codec = head.codec
    record.kind = head.kind
    record.flags = head.flags
    record.mac_key = head.mac_key
    return record


cdef list heads_of(Log log, uint64_t groups, uint64_t level, uint64_t first, uint64_t count):
    """Return the headers of the live records in groups [first, first + count).

    A group is what was one bucket when the iteration took (groups, level) from `heads`, so
    that a key present throughout is seen exactly once however the table grows meanwhile.
    """
    cdef uint64_t group
    cdef uint64_t home
    cdef uint64_t stride
    cdef uint64_t word = 0
    cdef cursor_t cursor
    cdef place_t place
    log.require_open()
    found = []
    for group in range(first, min(first + count, groups)):
        stride = 1ULL << level
        if group < groups - stride or group >= stride:
            stride *= 2
        home = group
        while home < bucket_count(&log.index):
            first_slot(&log.index, home, &cursor)
            while next_slot(&log.index, &cursor, &word):
                if word == 0:
                    continue
                if not log.locate(word, &place) or not header_valid(
                    place.record, place.at, place.room,
                    log.tier[COLD if word & FM_TIER_BIT else WARM].salt,
                ):
                    log.note_corrupt(word)
                elif not log.expired(place.record):
                    found.append(head_only(log, word, &place))
            home += stride
    return found


def heads(Log log not None):
    """Iterate the headers of all live records, as Records without bodies.

    A key that is there throughout comes exactly once, however the table grows meanwhile; one that
    comes or goes may be met or not. Changes never raise.
    """
    cdef uint64_t groups
    cdef uint64_t level
    cdef uint64_t first
    log.require_open()
    groups = bucket_count(&log.index)
    level = fm_load_acquire(&log.index.head.directory) >> 56
    for first in range(0, groups, GROUPS_A_STEP):
        yield from heads_of(log, groups, level, first, GROUPS_A_STEP)


def check_index(Log log not None):
    """Walk every chain and return what is wrong with it, as sentences; empty when sound.

    Each word must lead to a whole record of the right tag and home, no key twice, no word at or
    past the tail, the counts exact.
    """
    cdef uint64_t home
    cdef uint64_t digest
    cdef uint64_t word = 0
    cdef uint64_t tally[2]
    cdef cursor_t cursor
    cdef place_t place
    cdef int which
    log.require_open()
    tally[0] = tally[1] = 0
    problems = []
    for home in range(bucket_count(&log.index)):
        keys = set()
        if fm_load_acquire(&log.index.buckets[home].version) & 1:
            problems.append(f"bucket {home} is marked busy")
        first_slot(&log.index, home, &cursor)
        while next_slot(&log.index, &cursor, &word):
            if word == 0:
                continue
            which = COLD if word & FM_TIER_BIT else WARM
            tally[which] += 1
            if not valid_at(log, which, word & FM_LOCATION_MASK, &place):
                problems.append(f"bucket {home}: {word:#x} leads to no whole record")
                continue
            key = PyBytes_FromStringAndSize(key_of(place.record), place.record.klen)
            digest = log.digest_of(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
            if key in keys:
                problems.append(f"bucket {home}: key {key!r} twice")
            keys.add(key)
            if home_of(&log.index, digest) != home:
                problems.append(f"bucket {home}: key {key!r} belongs elsewhere")
            if tag_of(&log.index, digest) != word & (<uint64_t>0xFFFF << FM_TAG_SHIFT):
                problems.append(f"bucket {home}: key {key!r} has the wrong tag")
            if (word & FM_LOCATION_MASK) >= (log.sup.cold_tail if which else log.sup.tail):
                problems.append(f"bucket {home}: key {key!r} lies past the tail")
            if place.record.kind != FM_VALUE and place.record.kind != FM_POINTER:
                problems.append(f"bucket {home}: key {key!r} leads to kind {place.record.kind}")
    if tally[0] != log.index.head.warm_entries or tally[1] != log.index.head.cold_entries:
        problems.append(
            f"counts say {log.index.head.warm_entries} warm and {log.index.head.cold_entries} "
            f"cold, the chains hold {tally[0]} and {tally[1]}"
        )
    return problems
