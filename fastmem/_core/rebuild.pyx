"""Rebuilding the index from the log."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from fastmem._core.index cimport (
    cursor_t, first_slot, home_of, insert_word, next_entry, replace_word, split_some, tag_of,
    wants_growth,
)
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_POINTER, FM_SEAL, FM_SEAL_UNITS, FM_TOMBSTONE, fm_record,
)
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, find, log_t
from fastmem._core.needs cimport CHORE_GROWTH, NEED_OVERFLOW
from fastmem._core.record cimport body_offset, body_valid, key_of, record_units
from fastmem._core.skips cimport skipped_units, write_skip
from fastmem._core.tiers cimport (
    WARM, locate, locate_at, place_t, segment_begin, segment_end, tier_t, valid, version_of,
)


@cython.final
cdef class Survey:
    """What reading a segment's records has shown: `records`, whole ones; `dropped`, runs of bytes
    that are not zero and no record, and damaged bodies; `end` of the last record or skip, 0 when
    there is none; `newest`, a version; `holes`, places where one may be lost that is not known to
    have been synced; `passed`, (address, units) of records that count for nothing, for `pass_over`.
    """

    cdef readonly uint64_t records, dropped, end, newest, holes
    cdef readonly list passed

    def __cinit__(self):
        self.passed = []


def absorb(
    Log log not None, int which, uint64_t number, uint64_t at, Survey survey not None, vouch,
    uint64_t vouched, uint64_t settled, uint64_t tail,
):
    """Rebuild: index the records of one segment from address `at` on, newest version wins.

    Return the address to go on from, 0 when the segment is done. It stops early when the index
    files must grow (`need` or `chores`). What it meets is noted in `survey`; holes are counted in
    [vouched, tail).
    Below address `settled`, where reclaim was done with them, records are seen and not indexed; but
    cold ones are, until `sweep`: what they replaced may lie in the warm log, and nothing newer may
    be there. So are tombstones. Below address `vouched` every record was whole once:
    one whose body is damaged is indexed all the same, as lost, rather than let an older version
    return. From there on it counts for nothing, and so does a pointer unless `vouch(key, pointer,
    version)` is true (which is for it to report): a power loss may have torn either.
    """
    cdef log_t* state = &log.state
    cdef tier_t* tier = &state.tier[which]
    cdef uint64_t end = (number + 1) << tier.shift
    cdef place_t place
    cdef bint in_run = False
    cdef uint64_t gap = 0
    cdef uint64_t skipped, units
    cdef bint good, intact
    log.require_open()
    log.need = 0
    if at == 0:
        at = (number << tier.shift) + FM_HEADER_UNITS
    while at < end and locate_at(tier, at, &place):
        if not valid(&place):
            skipped = skipped_units(&place)
            if skipped:
                in_run = False
                gap = 0
                at += skipped
                survey.end = at
                continue
            gap += 1  # three at a segment's end are no lost record
            survey.holes += gap > FM_SEAL_UNITS and vouched <= at < tail
            if not in_run and not zero_unit(<const uint64_t*>place.record):
                survey.dropped += 1
                in_run = True
            at += 1
            continue
        in_run = False
        gap = 0
        if place.record.kind == FM_SEAL:
            survey.end = at
            return 0
        good = intact = body_valid(place.record, at)
        survey.holes += not good and vouched <= at < tail
        if good and at >= max(vouched, settled) and place.record.kind == FM_POINTER:
            good = vouch(
                PyBytes_FromStringAndSize(key_of(place.record), place.record.klen),
                PyBytes_FromStringAndSize(
                    <const char*>place.record + body_offset(place.record, at), place.record.vlen
                ),
                version_of(&place),
            )
        if good or at < vouched:
            if (at >= settled or tier.bit) and not adopt(state, &place):
                log.need = NEED_OVERFLOW
                return at
            survey.records += 1
            survey.newest = max(survey.newest, version_of(&place))
        survey.dropped += not intact
        units = record_units(place.record, at)
        if not good and at >= vouched:
            survey.passed.append((at, units))
        at += units
        survey.end = at
        if wants_growth(&state.index):
            state.chores |= split_some(&state.index)
            if state.chores & CHORE_GROWTH:
                return at
    survey.holes += vouched <= at < min(tail, end)  # the file was cut
    return 0


cdef inline bint zero_unit(const uint64_t* unit) noexcept nogil:
    return unit[0] == 0 and unit[1] == 0


cdef bint adopt(log_t* log, const place_t* place) noexcept nogil:
    """Index a record unless a newer version is there. False when overflow must grow first.

    Of a record and its copy in the archive, the same version, the copy counts if it is whole: who
    replaces it then knows that the archive holds an older one (SHADOWS_L3). A tombstone of that
    version, whole or not, says that it left the archive, or was evicted.
    """
    cdef const fm_record* record = place.record
    cdef uint64_t digest = digest_of(log, key_of(record), record.klen)
    cdef uint64_t word = tag_of(&log.index, digest) | place.tier.bit | place.at
    cdef cursor_t cursor
    cdef place_t older
    cdef uint64_t old = find(log, key_of(record), record.klen, digest, &cursor, &older)
    if old == 0:
        return insert_word(&log.index, home_of(&log.index, digest), word)
    if version_of(place) > version_of(&older) or (
        version_of(place) == version_of(&older) and older.tier.bit
        and older.record.kind != FM_TOMBSTONE
        and (place.tier.bit or not body_valid(older.record, older.at))
    ):
        replace_word(&log.index, &cursor, old, word)
    return True


def newest(Log log not None, bytes key not None):
    """Return the version of the record that the key's slot leads to, a tombstone or an expired one
    included; 0 when there is none.
    """
    cdef place_t place
    cdef cursor_t cursor
    cdef const char* name = PyBytes_AS_STRING(key)
    cdef uint64_t klen = PyBytes_GET_SIZE(key)
    log.require_open()
    if not find(&log.state, name, klen, digest_of(&log.state, name, klen), &cursor, &place):
        return 0
    return version_of(&place)


def sweep(Log log not None, uint64_t cold_settled):
    """End of a rebuild: remove the tombstones and the cold records below an address from the index.

    Return True when a pointer to a value file is left.
    """
    cdef uint64_t word = 0
    cdef bint pointers = False
    cdef cursor_t cursor
    cdef place_t place
    log.require_open()
    first_slot(&log.state.index, 0, &cursor)
    while next_entry(&log.state.index, &cursor, &word):
        if not locate(log.state.tier, word, &place):
            continue
        if place.record.kind == FM_TOMBSTONE or place.tier.bit and place.at < cold_settled:
            replace_word(&log.state.index, &cursor, word, 0)
        elif place.record.kind == FM_POINTER:
            pointers = True
    return pointers


def pass_over(Log log not None, int which, uint64_t at, uint64_t units):
    """Put a skip in the place of a record that counts for nothing."""
    cdef place_t place
    log.require_open()
    if locate_at(&log.state.tier[which], at, &place):
        write_skip(&place, units)


def pass_rest(Log log not None):
    """The warm log is about to go on behind all its segments: what is left of the tail's is no
    loss, nor are those that were begun after it and not written to.
    """
    cdef tier_t* tier = &log.state.tier[WARM]
    cdef uint64_t at = tier.tail[0]
    cdef uint64_t end = (tier.first + tier.count) << tier.shift
    cdef place_t place
    log.require_open()
    while at < end:
        at = max(at, segment_begin(tier, at) + FM_HEADER_UNITS)
        if locate_at(tier, at, &place):
            write_skip(&place, segment_end(tier, at) - at)
        at = segment_end(tier, at)
