"""The mapped files that a log stands on."""

from libc.stdint cimport uint8_t, uint64_t
from fastmem._core.descriptor cimport Descriptor
from fastmem._core.lookup cimport log_t
from fastmem._core.mapping cimport Mapping
from fastmem._core.tiers cimport place_t, tier_t

cdef class LogFiles:
    cdef log_t state
    cdef dict maps
    cdef Mapping sup_map
    cdef Mapping index_map
    cdef Mapping processes   # these two: None while no other process can have the store open
    cdef Descriptor procs
    cdef uint8_t* own_touched
    cdef set places          # what of `state.damaged` was collected
    cdef object keeper       # see `share`
    cdef uint64_t seen       # of the first page's changes
    cdef readonly str path
    cdef readonly bint closed

    cdef int require_open(self) except -1
    cdef int attend(self) except -1
    cdef uint64_t lowest(self, const tier_t* tier, uint64_t number) noexcept
    cdef bint reach(self, uint64_t word, place_t* place) except -1
