"""What entries remember of the log that they are copies of: see coherence.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from fastmem._core.layout cimport fm_bucket, fm_peek

cdef struct Stamp:         # of the entry with the same index
    uint64_t version       # of the key's home bucket; NO_STAMP: nobody knows
    uint32_t home
    uint32_t epoch         # of the last comparison

cdef struct Stamps:
    Stamp* stamps          # NULL until the log is first found shared
    const fm_bucket* buckets
    uint32_t room          # how many entries there are stamps for
    uint32_t exact         # the same where each hit compares, else 0


cdef inline bint stamp_holds(const Stamps* s, uint32_t index) noexcept nogil:
    """Whether the entry's bucket has the version that it had."""
    cdef const Stamp* stamp = s.stamps + index
    return fm_peek(&s.buckets[stamp.home].version) == stamp.version
