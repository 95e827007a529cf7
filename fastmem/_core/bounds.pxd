"""Whether an index and the bounds of its log belong together: what the work under a guard tells."""

from libc.stdint cimport uint64_t
from fastmem._core.lookup cimport log_t

ctypedef struct span_t:  # of the slots of a tier
    uint64_t entries
    uint64_t lowest       # address; above all others when there is none
    uint64_t end          # one past the highest
    uint64_t cornered     # so close to a segment's end that no record begins there
    uint64_t mask         # of an address: its place in the segment

ctypedef struct facts_t:  # what the work under a guard is about, and tells
    log_t* log
    span_t[2] spans
    uint64_t lost
    bint sound
    uint64_t digest

# Work for a guard, about a facts_t.
cdef void examine(void* facts) noexcept nogil      # sound, and then lost and spans
cdef void take_digest(void* facts) noexcept nogil
cdef void compare_bounds(void* facts) noexcept nogil  # sound
