"""The mapped files that a log stands on."""

from libc.stdint cimport uint8_t, uint64_t
from fastmem._core.descriptor cimport Descriptor
from fastmem._core.faults cimport work_t
from fastmem._core.lookup cimport log_t
from fastmem._core.mapping cimport Mapping
from fastmem._core.tiers cimport tier_t

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

    cdef bint has_room(self) except -1
    cdef uint64_t word_at(self, const uint64_t* origin) except? 1
    cdef int attempt(self, work_t work, void* facts) except -1
    cdef int require_open(self) except -1
    cdef int raise_poisoned(self) except -1
    cdef uint64_t lowest(self, const tier_t* tier, uint64_t number) noexcept
