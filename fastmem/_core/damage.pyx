"""Bytes of a segment that are no sound record: where, how many, and whose they were."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from fastmem._core.layout cimport FM_COLD_SEAL_UNITS, FM_HEADER_UNITS, FM_SEAL, FM_SEAL_UNITS
from fastmem._core.log cimport Log
from fastmem._core.record cimport body_valid, key_of, record_units
from fastmem._core.skips cimport skipped_units
from fastmem._core.tiers cimport locate_at, place_t, segment_end, tier_t, valid, version_of


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
    walk ends where it does.
    """
    cdef const tier_t* tier = &log.state.tier[which]
    cdef uint64_t at = (number << tier.shift) + FM_HEADER_UNITS
    cdef uint64_t seal = FM_COLD_SEAL_UNITS if tier.bit else FM_SEAL_UNITS
    cdef uint64_t records = 0
    cdef uint64_t units
    cdef place_t place
    cdef Stretch run = None
    log.require_open()
    found = []
    end = min(end, (number + 1) << tier.shift)
    while at < end and locate_at(tier, at, &place):
        units = skipped_units(&place)
        if units:
            run = None
            at += units
        elif not valid(&place):
            if run is None:
                if segment_end(tier, at) - at < seal:
                    break
                run = stretch(at, 0, None)
                found.append(run)
            run.units += 1
            run.empty &= zero_unit(<const uint64_t*>place.record)
            at += 1
        else:
            run = None
            if place.record.kind == FM_SEAL:
                break
            units = record_units(place.record, at)
            if body_valid(place.record, at):
                records += 1
            else:
                run = stretch(
                    at, units, PyBytes_FromStringAndSize(key_of(place.record), place.record.klen)
                )
                run.version = version_of(&place)
                found.append(run)
                run = None
            at += units
    return records, found


cdef Stretch stretch(uint64_t at, uint64_t units, bytes key):
    cdef Stretch made = Stretch.__new__(Stretch)
    made.at = at
    made.units = units
    made.key = key
    made.empty = key is None
    return made


cdef inline bint zero_unit(const uint64_t* unit) noexcept nogil:
    return unit[0] == 0 and unit[1] == 0
