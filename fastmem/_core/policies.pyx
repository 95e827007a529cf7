"""Who leaves first; table.pxd describes the queues."""

from libc.stdint cimport int64_t

from fastmem._core.ghosts cimport ghosts_add
from fastmem._core.table cimport (
    LRU, SMALL, USES_MASK, USES_ONE, Entry, ring_insert, ring_remove,
)

cdef enum:
    CHANCES = 128            # second chances that one eviction gives
    FEW = 64                 # entries: below, the small queue gets a larger share
    PROMOTED_AT = 2 * USES_ONE


cdef inline int64_t small_share(const Table* t) noexcept nogil:
    return max(t.budget_bytes // (4 if t.live < FEW else 10), 1)


cdef void requeue(Table* t, uint32_t index) noexcept nogil:
    """A second chance: to the young end of the main queue."""
    ring_remove(t.entries, index)
    ring_insert(t.entries, 0, index)


cdef uint32_t table_victim(Table* t) noexcept nogil:
    """S3-FIFO (Yang et al., SOSP 2023), weighed in bytes.

    The main queue gives once the small one is below its share: a tenth of the budget, a quarter
    while there are few entries. An entry at the old end of the small queue moves to the main one if
    it was used at least twice, and has to leave if not; at the old end of the main queue it goes
    round again for every use, up to three.
    """
    cdef Entry* entries = t.entries
    cdef Entry* entry
    cdef uint32_t index
    cdef int chances
    if t.policy == LRU or t.live == 0:
        return entries[0].prev if t.live else 0
    for chances in range(CHANCES + 1):
        if entries[0].prev == 1 or (t.small_bytes < small_share(t) and entries[1].prev):
            index = entries[1].prev
            entry = entries + index
            if entry.meta & USES_MASK == 0 or chances == CHANCES:
                break
            entry.meta -= USES_ONE
        else:
            index = entries[0].prev
            entry = entries + index
            if entry.meta & USES_MASK < PROMOTED_AT or chances == CHANCES:
                break
            entry.meta &= ~<uint32_t>(USES_MASK | SMALL)
            t.small_bytes -= entry.size_bytes
        requeue(t, index)
    return index


cdef void table_remember(Table* t, uint32_t index) noexcept nogil:
    cdef const Entry* entry = t.entries + index
    ghosts_add(
        &t.ghosts, entry.fragment, entry.size_bytes, t.budget_bytes - t.budget_bytes // 10,
        2 * t.live,
    )
