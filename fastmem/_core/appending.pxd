"""The steps that change a log. Each is lock, decide, write, apply, unlock: see `change`."""

from libc.stdint cimport uint64_t
from fastmem._core.index cimport cursor_t
from fastmem._core.layout cimport fm_cold, fm_record
from fastmem._core.lookup cimport log_t
from fastmem._core.tiers cimport place_t, tier_t

ctypedef struct draft_t:  # what a step is about
    fm_record head        # of the record to append, complete but for hcheck and FM_SHADOWS_L3
    fm_cold cold
    const char* key
    const char* body
    uint64_t digest       # of the key
    bint conditional      # only while `expected` is the key's word; 0: it has no live record
    uint64_t expected
    bint moved            # the expected record's value: by `put_cold`, its version too
    bint stamped          # only while the key's home bucket is `home`, at `stamp`
    uint64_t passed       # by `remove`: the tier's head goes there
    cursor_t cursor       # where the step found the key
    uint64_t home
    uint64_t stamp        # see stamp_of. Once DONE, what the step has made of both
    uint64_t word         # what its slot leads to, once DONE

# A step returns DONE, or says why nothing has changed. `change` runs it under the lock.
ctypedef int (*step_t)(log_t* log, draft_t* draft) noexcept nogil

cdef int change(log_t* log, step_t step, draft_t* draft) noexcept nogil
cdef int put_warm(log_t* log, draft_t* draft) noexcept nogil
cdef int put_cold(log_t* log, draft_t* draft) noexcept nogil
cdef int shadow(log_t* log, draft_t* draft) noexcept nogil
cdef int erase(log_t* log, draft_t* draft) noexcept nogil
cdef int erase_cold(log_t* log, draft_t* draft) noexcept nogil
cdef int make_ready(log_t* log, draft_t* draft) noexcept nogil
cdef int stand_by(log_t* log, draft_t* draft) noexcept nogil
cdef uint64_t find_key(log_t* log, draft_t* draft, place_t* older) noexcept nogil
cdef int tail_room(tier_t* tier, const fm_record* head, place_t* room) noexcept nogil
cdef int write_next(tier_t* tier, draft_t* draft, place_t* room) noexcept nogil
cdef void advance(log_t* log, tier_t* tier, uint64_t units) noexcept nogil
