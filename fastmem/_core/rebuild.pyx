"""Rebuilding the index from the log."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memset
from fastmem._core.faults cimport guarded
from fastmem._core.gathering cimport gather_next, gather_t
from fastmem._core.index cimport (
    cursor_t, first_slot, home_of, insert_word, next_entry, replace_word, split_some, tag_of,
    wants_growth,
)
from fastmem._core.layout cimport (
    FM_HEADER_UNITS, FM_POINTER, FM_SEAL, FM_TOMBSTONE, FM_VALUE, fm_record,
)
from fastmem._core.log cimport Log
from fastmem._core.looking cimport begin_look, copy_head, copy_t, copy_version, look_t
from fastmem._core.lookup cimport digest_of, find, log_t
from fastmem._core.needs cimport CHORE_GROWTH, NEED_OVERFLOW
from fastmem._core.record cimport body_valid, key_of, record_units
from fastmem._core.records cimport Record, record_of
from fastmem._core.shelter cimport raise_fault
from fastmem._core.skips cimport write_skip
from fastmem._core.tiers cimport (
    WARM, locate, locate_at, place_t, segment_begin, segment_end, tier_t, version_of,
)


ctypedef struct adoption_t:
    log_t* log
    const copy_t* found
    bint done

ctypedef struct sweep_t:
    log_t* log
    uint64_t cold_settled
    bint pointers         # one to a value file is left

ctypedef struct passage_t:  # what is to be passed over, from a place on
    place_t place
    uint64_t units


@cython.final
cdef class Survey:
    """What reading a segment's records has shown: `records`, whole ones; `dropped`, runs of bytes
    that are not zero and no record, and damaged bodies; `end` of the last record or skip, 0 when
    there is none; `newest`, a version; `holes`, places where one may be lost that is not known to
    have been synced; `passed`, (address, units) of records that count for nothing, for `pass_over`;
    `to_sweep`, whether anything was indexed that `sweep` looks for.
    """

    cdef readonly uint64_t records, dropped, end, newest, holes
    cdef readonly list passed
    cdef readonly bint to_sweep

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
    cdef gather_t gather
    cdef const fm_record* head = &gather.found.head
    cdef Record record
    cdef bint good
    log.require_open()
    log.need = 0
    memset(&gather, 0, sizeof(gather))
    gather.log, gather.tier = state, tier
    gather.vouched, gather.tail = vouched, tail
    gather.end = (number + 1) << tier.shift
    gather.at = at if at else (number << tier.shift) + FM_HEADER_UNITS
    while gather_next(&gather):
        tell(&gather, survey)
        at = gather.at
        if head.kind == FM_SEAL:
            survey.end = at
            return 0
        good = gather.intact
        if good and at >= max(vouched, settled) and head.kind == FM_POINTER:
            record = record_of(state, &gather.found, True)
            good = record.body is not None and vouch(
                record.key, record.body[:head.vlen], record.version
            )
        if good or at < vouched:
            if (at >= settled or tier.bit) and not adopt_guarded(log, &gather.found):
                log.need = NEED_OVERFLOW
                return at
            survey.to_sweep |= head.kind != FM_VALUE or tier.bit != 0
            survey.records += 1
            survey.newest = max(survey.newest, copy_version(&gather.found))
        survey.dropped += not gather.intact
        if not good and at >= vouched:
            survey.passed.append((at, record_units(head, at)))
        gather.at += record_units(head, at)
        survey.end = gather.at
        if wants_growth(&state.index):
            state.chores |= split_some(&state.index)
            if state.chores & CHORE_GROWTH:
                return gather.at
    tell(&gather, survey)
    survey.holes += vouched <= gather.at < min(tail, gather.end)  # the file was cut
    return 0


cdef int tell(gather_t* gather, Survey survey) except -1:
    """Note in a survey what was passed."""
    survey.dropped += gather.dropped
    survey.holes += gather.holes
    gather.dropped = gather.holes = 0
    if gather.after:
        survey.end = gather.after
        gather.after = 0
    return 0


cdef bint adopt_guarded(Log log, const copy_t* found) except -1:
    """As `adopt`. StoreError where what it is to be compared with is missing: a page was there when
    that was read.
    """
    cdef adoption_t facts = adoption_t(&log.state, found, False)
    cdef uint64_t fault = guarded(adopt_found, &facts)
    if fault:
        raise_fault(log, fault)
    return facts.done


cdef void adopt_found(void* facts) noexcept nogil:
    cdef adoption_t* one = <adoption_t*>facts
    one.done = adopt(one.log, &one.found.place)


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
    cdef look_t look
    log.require_open()
    begin_look(
        &look, &log.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
        digest_of(&log.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)),
    )
    look.found.word = 0
    if guarded(find_newest, &look) or look.found.word == 0:
        return 0
    return copy_version(&look.found)


cdef void find_newest(void* facts) noexcept nogil:
    cdef look_t* look = <look_t*>facts
    cdef copy_t* found = &look.found
    found.word = find(
        look.log, look.key, look.klen, look.digest, &look.cursor, &found.place
    )
    if found.word and not copy_head(found):
        found.word = 0


def sweep(Log log not None, uint64_t cold_settled):
    """End of a rebuild: remove the tombstones and the cold records below an address from the index.

    Return True when a pointer to a value file is left.
    """
    cdef sweep_t facts = sweep_t(&log.state, cold_settled, False)
    cdef uint64_t fault
    log.require_open()
    fault = guarded(sweep_index, &facts)
    if fault:
        raise_fault(log, fault)
    return facts.pointers


cdef void sweep_index(void* of) noexcept nogil:
    cdef sweep_t* facts = <sweep_t*>of
    cdef log_t* state = facts.log
    cdef uint64_t word = 0
    cdef cursor_t cursor
    cdef copy_t found
    first_slot(&state.index, 0, &cursor)
    while next_entry(&state.index, &cursor, &word):
        if not locate(state.tier, word, &found.place) or guarded(copy_kind, &found):
            continue
        if found.head.kind == FM_TOMBSTONE or (
            found.place.tier.bit and found.place.at < facts.cold_settled
        ):
            replace_word(&state.index, &cursor, word, 0)
        elif found.head.kind == FM_POINTER:
            facts.pointers = True


cdef void copy_kind(void* facts) noexcept nogil:
    cdef copy_t* found = <copy_t*>facts
    found.head.kind = found.place.record.kind


def pass_over(Log log not None, int which, uint64_t at, uint64_t units):
    """Put a skip in the place of a record that counts for nothing."""
    log.require_open()
    put_skip(log, &log.state.tier[which], at, units)


def pass_rest(Log log not None):
    """The warm log is about to go on behind all its segments: what is left of the tail's is no
    loss, nor are those that were begun after it and not written to.
    """
    cdef tier_t* tier = &log.state.tier[WARM]
    cdef uint64_t at = tier.tail[0]
    cdef uint64_t end = (tier.first + tier.count) << tier.shift
    log.require_open()
    while at < end:
        at = max(at, segment_begin(tier, at) + FM_HEADER_UNITS)
        put_skip(log, tier, at, segment_end(tier, at) - at)
        at = segment_end(tier, at)


cdef int put_skip(Log log, tier_t* tier, uint64_t at, uint64_t units) except -1:
    cdef passage_t passage
    cdef uint64_t fault
    passage.units = units
    if locate_at(tier, at, &passage.place):
        fault = guarded(write_passage, &passage)
        if fault:
            raise_fault(log, fault)
    return 0


cdef void write_passage(void* facts) noexcept nogil:
    cdef passage_t* passage = <passage_t*>facts
    write_skip(&passage.place, passage.units)
