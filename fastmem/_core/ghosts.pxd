"""What S3-FIFO remembers of entries it evicted young: fragment and size, first in, first out.

Nodes of 16 bytes in an arena, with slots to find them by fragment: about 28 bytes a ghost. No key
is kept, so a key may be taken for another, with odds of one in four thousand million for each
ghost, and enter the main queue on its first put: never a wrong value, at worst a worse guess.

Nothing here runs Python or can raise, but `ghosts_check`.
"""

from libc.stdint cimport int64_t, uint32_t

from fastmem._core.slots cimport Slots

cdef struct Ghost:
    uint32_t fragment
    uint32_t size_bytes    # stops at 2**32 - 1
    uint32_t prev          # the one before it in time; a free node: unused
    uint32_t next

cdef struct Ghosts:        # all zero: none, and no memory for them
    Slots slots
    Ghost* nodes           # 0 is the sentinel: next the newest, prev the oldest
    int64_t bytes          # the sizes of all
    uint32_t count
    uint32_t free_head
    uint32_t high
    uint32_t capacity

# Remembers, as of now even if it already did, then forgets the oldest while the sizes exceed
# `limit_bytes` or there are more than `limit`. When there is no memory nothing is remembered.
cdef void ghosts_add(
    Ghosts* g, uint32_t fragment, int64_t size_bytes, int64_t limit_bytes, uint32_t limit
) noexcept nogil
# Whether it was remembered; it no longer is.
cdef bint ghosts_take(Ghosts* g, uint32_t fragment) noexcept nogil
cdef void ghosts_free(Ghosts* g) noexcept nogil
cdef int ghosts_check(const Ghosts* g) except -1
