"""What a change finds in the tiers, whether it may go on, and what it tells."""

from libc.stdint cimport uint32_t, uint64_t

from fastmem._core.writeback cimport WriteBack


# Whether a change gives an entry the very value that it has: only a new deadline.
cdef inline bint is_kept(object guard, object value) noexcept:
    return type(guard) is tuple and (<tuple>guard)[0] is value


cdef class Guarded(WriteBack):
    # ATOMIC, all. `index` is that of L1's entry, expired or not, or 0.

    # Whether a change may go on. The guard is None; a lease, which must be held; or
    # (value, word, deadline_ns), and then `is_current` must say so of value and word, and, unless
    # the deadline is -1, the entry must have that.
    cdef bint allows(self, object guard, uint32_t index, object key, bytes encoded) except -1
    # Whether L1 or limbo holds that very object, or, where neither holds the key, `word` is its
    # record. With MISSING: whether the key is nowhere, but for the record `word` (0: none) below,
    # which is damaged.
    cdef bint is_current(
        self, uint32_t index, object key, bytes encoded, object value, uint64_t word
    ) except -1
    # What a change of `key` does away with: a value, NOT_LOADED when only the tiers below have it,
    # MISSING when nobody does or what L1 has will leave as expired.
    cdef object old_value(self, uint32_t index, object key, bytes encoded, uint32_t* cause)
    # Queues an event that was taken, unless nothing was done away with.
    cdef void end_event(self, uint32_t event, object key, object old, uint32_t cause) noexcept
