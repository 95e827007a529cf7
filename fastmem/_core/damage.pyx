"""Bytes of a segment that are no sound record: where, how many, and whose they were."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from fastmem._core.faults cimport guarded
from fastmem._core.layout cimport FM_COLD_SEAL_UNITS, FM_HEADER_UNITS, FM_SEAL, FM_SEAL_UNITS
from fastmem._core.log cimport Log
from fastmem._core.looking cimport copy_head, copy_out, copy_t, copy_version
from fastmem._core.lookup cimport log_t
from fastmem._core.record cimport body_valid, record_units
from fastmem._core.skips cimport skipped_units
from fastmem._core.tiers cimport locate_at, place_t, segment_end, tier_t, valid
from fastmem._core.walking cimport after_page

ctypedef struct passage_t:
    log_t* log
    const tier_t* tier
    uint64_t at        # where to go on
    uint64_t end
    uint64_t records   # whole ones
    uint64_t run       # units before `at` that no record claims
    bint empty         # they are zeros
    copy_t found
    bint headed        # it is a record, whose body is damaged
    bint over


@cython.final
cdef class Stretch:
    """Units `at` to `at` + `units` of a log. With `key` a record of that key whose body is damaged,
    and `version`, without one bytes that no record claims, all of them zeros if `empty`.
    """

    cdef readonly uint64_t at, units, version
    cdef readonly bytes key
    cdef readonly bint empty

    def __repr__(self):
        return f"Stretch(at={self.at}, units={self.units}, key={self.key}, empty={self.empty})"


def stretches(Log log not None, int which, uint64_t number, uint64_t end):
    """Walk segment `number` up to address `end`, or its own. Return (whole records, Stretches).

    What is left behind the last record, too small for a seal, is none. Of a file that was cut the
    walk ends where it does; pages that cannot be had are bytes that no record claims.
    """
    cdef passage_t passage
    cdef Stretch run
    log.require_open()
    passage.log = &log.state
    passage.tier = &log.state.tier[which]
    passage.at = (number << passage.tier.shift) + FM_HEADER_UNITS
    passage.end = min(end, (number + 1) << passage.tier.shift)
    passage.records = passage.run = 0
    found = []
    while True:
        pass_on(&passage)
        if passage.run:
            run = stretch(passage.at - passage.run, passage.run, None)
            run.empty = passage.empty
            found.append(run)
            passage.run = 0
        if passage.headed:
            found.append(damaged_record(&passage))
        elif passage.over:
            return passage.records, found


cdef Stretch damaged_record(passage_t* passage):
    """Step over a record with a damaged body."""
    cdef const copy_t* copy = &passage.found
    cdef uint64_t units = record_units(&copy.head, passage.at)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, copy.head.klen)
    cdef Stretch made
    if not copy_out(passage.log, copy, PyBytes_AS_STRING(key), NULL):
        key = None  # its page has gone meanwhile
    made = stretch(passage.at, units, key)
    if key is not None:
        made.version = copy_version(copy)
    made.empty = False
    passage.at += units
    return made


cdef void pass_on(passage_t* passage) noexcept nogil:
    """Come to where a run of no records ends, to a damaged record, or to the end."""
    cdef uint64_t after
    cdef uint64_t fault = guarded(step_on, passage)
    while fault and not passage.headed:
        passage.log.faults += 1
        after = min(after_page(passage.tier, passage.at, fault), passage.end)
        passage.empty = False
        passage.run += after - passage.at
        passage.at = after
        fault = guarded(step_on, passage)
    passage.log.faults += fault != 0


cdef void step_on(void* facts) noexcept nogil:
    """It touches nothing but the segment, and steps on before it touches the next bytes of it."""
    cdef passage_t* passage = <passage_t*>facts
    cdef const tier_t* tier = passage.tier
    cdef place_t* place = &passage.found.place
    cdef uint64_t seal = FM_COLD_SEAL_UNITS if tier.bit else FM_SEAL_UNITS
    cdef uint64_t skipped
    passage.headed = passage.over = False
    while passage.at < passage.end and locate_at(tier, passage.at, place):
        skipped = skipped_units(place)
        if skipped or valid(place) and copy_head(&passage.found):
            if passage.run:
                return
            if skipped:
                passage.at += skipped
                continue
            if passage.found.head.kind == FM_SEAL:
                break
            passage.headed = True
            if not body_valid(place.record, passage.at):
                return
            passage.headed = False
            passage.records += 1
            passage.at += record_units(&passage.found.head, passage.at)
            continue
        if passage.run == 0:
            if segment_end(tier, passage.at) - passage.at < seal:
                break
            passage.empty = True
        passage.empty &= zero_unit(<const uint64_t*>place.record)
        passage.run += 1
        passage.at += 1
    passage.over = True


cdef Stretch stretch(uint64_t at, uint64_t units, bytes key):
    cdef Stretch made = Stretch.__new__(Stretch)
    made.at = at
    made.units = units
    made.key = key
    made.empty = key is None
    return made


cdef inline bint zero_unit(const uint64_t* unit) noexcept nogil:
    return unit[0] == 0 and unit[1] == 0
