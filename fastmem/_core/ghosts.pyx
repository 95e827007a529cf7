"""Ghosts; ghosts.pxd describes them."""

from libc.string cimport memset

from fastmem._core.pages cimport array_free, array_grow, array_new
from fastmem._core.slots cimport (
    Slot, slots_check, slots_first, slots_free, slots_init, slots_insert, slots_remove,
    slots_reserve,
)

cdef enum:
    FIRST_NODES = 16

cdef int64_t LARGEST = 0xFFFFFFFF

assert sizeof(Ghost) == 16


cdef bint grow_nodes(Ghosts* g) noexcept nogil:
    cdef uint32_t capacity = g.capacity + g.capacity // 2
    cdef Ghost* nodes
    if g.nodes == NULL:
        if not slots_init(&g.slots):
            return False
        capacity = FIRST_NODES
        nodes = <Ghost*>array_new(capacity * sizeof(Ghost))
        if nodes == NULL:
            slots_free(&g.slots)
            return False
        g.high = 1
    else:
        nodes = <Ghost*>array_grow(
            g.nodes, g.capacity * sizeof(Ghost), <size_t>capacity * sizeof(Ghost)
        )
        if nodes == NULL:
            return False
    g.nodes = nodes
    g.capacity = capacity
    return True


cdef void forget(Ghosts* g, uint32_t index) noexcept nogil:
    cdef Ghost* ghost = g.nodes + index
    slots_remove(&g.slots, ghost.fragment, index)
    g.nodes[ghost.prev].next = ghost.next
    g.nodes[ghost.next].prev = ghost.prev
    g.bytes -= ghost.size_bytes
    g.count -= 1
    ghost.next = g.free_head
    g.free_head = index


cdef void ghosts_add(
    Ghosts* g, uint32_t fragment, int64_t size_bytes, int64_t limit_bytes, uint32_t limit
) noexcept nogil:
    cdef uint32_t index
    cdef Ghost* ghost
    ghosts_take(g, fragment)
    if g.free_head == 0 and g.high == g.capacity and not grow_nodes(g):
        return
    if not slots_reserve(&g.slots, g.count, fragment):
        return
    index = g.free_head
    if index:
        g.free_head = g.nodes[index].next
    else:
        index = g.high
        g.high += 1
    ghost = g.nodes + index
    ghost.fragment = fragment
    ghost.size_bytes = <uint32_t>min(size_bytes, LARGEST)
    ghost.prev = 0
    ghost.next = g.nodes[0].next
    g.nodes[ghost.next].prev = index
    g.nodes[0].next = index
    slots_insert(&g.slots, fragment, index)
    g.bytes += ghost.size_bytes
    g.count += 1
    while g.count and (g.bytes > limit_bytes or g.count > limit):
        forget(g, g.nodes[0].prev)


cdef bint ghosts_take(Ghosts* g, uint32_t fragment) noexcept nogil:
    cdef Slot* slot
    if g.count == 0:
        return False
    slot = slots_first(&g.slots, fragment)
    if slot.fragment != fragment or slot.entry == 0:
        return False
    forget(g, slot.entry)
    return True


cdef void ghosts_free(Ghosts* g) noexcept nogil:
    if g.nodes != NULL:
        slots_free(&g.slots)
        array_free(g.nodes, <size_t>g.capacity * sizeof(Ghost))
        memset(g, 0, sizeof(Ghosts))


cdef int ghosts_check(const Ghosts* g) except -1:
    cdef uint32_t index, before = 0, walked = 0
    cdef int64_t size = 0, used
    if g.nodes == NULL:
        assert not g.count and not g.bytes and not g.capacity, "ghosts without memory"
        return 0
    used = slots_check(&g.slots, &g.nodes[0].fragment, sizeof(Ghost), g.high)
    assert used == g.count, f"{used} slots for {g.count} ghosts"
    index = g.nodes[0].next
    while index:
        assert walked < g.count, "the ghosts are a ring"
        assert g.nodes[index].prev == before, f"ghost {index}: prev is not {before}"
        size += g.nodes[index].size_bytes
        walked += 1
        before, index = index, g.nodes[index].next
    assert g.nodes[0].prev == before, "the ghosts do not end where they should"
    assert (walked, size) == (g.count, g.bytes), "the ghosts do not add up"
    index = g.free_head
    while index:
        walked += 1
        assert walked < g.high, "the free ghosts are a ring"
        index = g.nodes[index].next
    assert walked + 1 == g.high, f"{g.high} nodes, {walked} of them ghosts or free"
    return 0
