"""Ways through a log and its index on which pages may be missing."""

from libc.stdint cimport uint64_t
from fastmem._core.index cimport cursor_t
from fastmem._core.log cimport Log
from fastmem._core.looking cimport copy_t
from fastmem._core.lookup cimport log_t
from fastmem._core.tiers cimport place_t, tier_t

ctypedef struct walk_t:   # through the records of one segment
    log_t* log
    const tier_t* tier
    uint64_t at           # where to go on
    uint64_t end          # of the segment
    copy_t found          # word 0: the segment is over, at `at`
    bint live             # the index leads to it

ctypedef struct visit_t:  # through the slots of one chain after the other
    log_t* log
    uint64_t home         # of the next chain
    cursor_t cursor
    uint64_t word         # in the slot; 0: no more buckets
    bint leads            # to a sound header of a key that belongs there:
    bint unmapped         # ... or into a segment that nobody here has asked for yet
    bint expired
    copy_t found          # ... this
    bint at_record        # while that is looked at
    uint64_t now

# Come to the next record. False: a page of the index is missing.
cdef bint walk_on(walk_t* walk) noexcept nogil
# Begin before the first slot of a bucket's chain, and come to the next slot in use of that chain.
# False: a page of the index is missing, and what is left of the chain cannot be had.
cdef void visit_home(visit_t* visit, log_t* log, uint64_t home) noexcept nogil
cdef bint visit_next(visit_t* visit) noexcept nogil
# Look once more at where `word` leads, and at the word that is in the slot now.
cdef bint visit_again(visit_t* visit, uint64_t* now) noexcept nogil
# The address after the page that was missing; 0 when it is none of the segment that `at` lies in.
cdef uint64_t after_page(const tier_t* tier, uint64_t at, uint64_t fault) noexcept nogil

cdef enum:  # what `meet` returns
    LEADS
    DAMAGED
    MOVED

cdef int meet(Log log, visit_t* visit, uint64_t directory) except -1
cdef uint64_t directory_of(Log log) except? 1
cdef uint64_t reachable(Log log) except 0
cdef object missing_page(Log log)
