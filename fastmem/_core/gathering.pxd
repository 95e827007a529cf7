"""The records of a segment for a rebuild, and what lies between them: missing pages too."""

from libc.stdint cimport uint64_t
from fastmem._core.looking cimport copy_t
from fastmem._core.lookup cimport log_t
from fastmem._core.tiers cimport tier_t

ctypedef struct gather_t:
    log_t* log
    const tier_t* tier
    uint64_t at         # of the record that was come to, or where to go on
    uint64_t end
    uint64_t vouched    # holes are counted in [vouched, tail)
    uint64_t tail
    copy_t found
    bint intact         # its body is
    # What was passed on the way, to be counted and cleared by the caller.
    uint64_t dropped    # runs of bytes that are not zero and no record, or are missing
    uint64_t holes      # places where a record may be lost
    uint64_t after      # where the last skip ends, 0: there was none
    int asked           # records ahead whose buckets were asked for, up to
    uint64_t ask_at
    bint in_run
    uint64_t gap
    bint there

# Come to the next record or seal. False: there is none in this segment.
cdef bint gather_next(gather_t* gather) noexcept nogil
