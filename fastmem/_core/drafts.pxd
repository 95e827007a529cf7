"""A record before it has a place in a log: the fields of its header that the caller knows."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef class Draft:
    cdef readonly bytes body           # value and MAC
    cdef readonly int64_t deadline_ns  # by the wall clock, 0 = never
    cdef readonly uint64_t written_ms
    cdef readonly int codec
    cdef readonly int kind
    cdef readonly int flags            # but for FM_COLD, which the log knows
    cdef readonly int mac_key
    # Of a cold record.
    cdef readonly uint32_t dictionary
    cdef readonly uint32_t raw_len
    cdef readonly uint32_t archived_s
