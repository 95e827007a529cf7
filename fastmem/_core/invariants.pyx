"""What must hold of a table between two calls."""

from libc.stdint cimport int64_t, uint32_t

from fastmem._core.ghosts cimport ghosts_check
from fastmem._core.objects cimport refcount
from fastmem._core.slots cimport Slot, slots_check
from fastmem._core.table cimport LIVE, LRU, SMALL, USES_MASK, Entry, first_slot


cdef int check_free(const Table* t) except -1:
    cdef uint32_t walked = 0, index = t.free_head
    cdef const Entry* e
    while index:
        e = t.entries + index
        assert walked < t.entry_high, "the free list is a ring"
        assert e.key == NULL and e.value == NULL and not e.meta, f"free entry {index} is in use"
        walked += 1
        index = e.next
    assert 1 + (t.policy != LRU) + walked + t.live + t.displaced == t.entry_high, (
        f"{t.entry_high} entries: {t.live} live, {walked} free, {t.displaced} displaced"
    )
    return 0


cdef bint has_slot(const Table* t, uint32_t index) noexcept nogil:
    cdef uint32_t fragment = t.entries[index].fragment
    cdef const Slot* slot = first_slot(t, fragment)
    while slot.fragment == fragment and slot.entry:
        if slot.entry == index:
            return True
        slot += 1
    return False


cdef int check_ring(const Table* t) except -1:
    cdef uint32_t before = 0, index = t.entries[0].next, walked = 0
    cdef int64_t size = 0, small = 0
    cdef bint in_small = False
    cdef const Entry* e
    while index:
        e = t.entries + index
        assert walked <= t.live, "the ring is longer than the table, or never ends"
        assert e.prev == before, f"entry {index}: prev is {e.prev}, not {before}"
        before, index = index, e.next
        if before == 1 and t.policy != LRU:
            assert not in_small and e.key == NULL, "the second sentinel is none"
            in_small = True
            continue
        assert e.meta & LIVE, f"entry {before} is in the ring but not live"
        assert has_slot(t, before), f"entry {before} has no slot"
        assert (e.meta & SMALL != 0) == in_small, f"entry {before} is in the wrong queue"
        assert t.policy != LRU or not e.meta & USES_MASK, f"entry {before} counts uses"
        assert e.key != NULL and e.value != NULL, f"entry {before} lost its references"
        assert refcount(e.key) > 0 and refcount(e.value) > 0, f"entry {before}: reference stolen"
        assert e.size_bytes >= 0, f"entry {before} has size {e.size_bytes}"
        size += e.size_bytes
        small += e.size_bytes if in_small else 0
        walked += 1
    assert t.entries[0].prev == before, "the ring does not end where it should"
    assert in_small == (t.policy != LRU), "the second sentinel is not in the ring"
    assert walked == t.live, f"{walked} entries in the ring, {t.live} live"
    assert size == t.used_bytes, f"entries add up to {size} bytes, counted {t.used_bytes}"
    assert small == t.small_bytes, f"the small queue has {small} bytes, not {t.small_bytes}"
    return 0


cdef int table_check(const Table* t) except -1:
    cdef int64_t used = slots_check(
        &t.slots, &t.entries[0].fragment, sizeof(Entry), t.entry_high
    )
    assert used == t.live, f"{used} slots for {t.live} live entries"
    check_ring(t)
    check_free(t)
    return ghosts_check(&t.ghosts)
