"""Addresses of a log that no record takes: versions that the archive's own puts used up, and the
rest of a segment that a rebuild leaves. A skip there tells them from a record that is lost.
"""

from libc.stdint cimport uint64_t
from fastmem._core.hashing cimport xxh3_seeded
from fastmem._core.layout cimport fm_skip
from fastmem._core.tiers cimport place_t, segment_end


cdef uint64_t skipped_units(const place_t* place) noexcept nogil:
    """How many units the skip at a place passes over, itself included; 0 when none stands there."""
    cdef const fm_skip* skip = <const fm_skip*>place.record
    if skip.units == 0 or skip.units > segment_end(place.tier, place.at) - place.at:
        return 0
    return skip.units if skip.check == check_of(skip, place) else 0


cdef void write_skip(const place_t* place, uint64_t units) noexcept nogil:
    """Pass over `units` from a place on, none of which holds anything."""
    cdef fm_skip* skip = <fm_skip*>place.record
    skip.units = units
    skip.check = check_of(skip, place)


cdef inline uint64_t check_of(const fm_skip* skip, const place_t* place) noexcept nogil:
    return xxh3_seeded(&skip.units, sizeof(skip.units), place.tier.salt ^ place.at)
