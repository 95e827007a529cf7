"""Arena, ring and changes of L1; table.pxd describes them. policies.pyx says who leaves first."""

from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memmove, memset

from fastmem._core.ghosts cimport ghosts_free, ghosts_take
from fastmem._core.pages cimport array_filled, array_free, array_grow, array_new
from fastmem._core.policies cimport table_remember, table_victim
from fastmem._core.slots cimport (
    slots_bytes, slots_clear, slots_free, slots_init, slots_insert,
    slots_longest_probe, slots_remove, slots_reserve,
)

cdef enum:
    FIRST_ENTRIES = 8
    LINE = 64
    HUGE_PAGE_ENTRIES = 32768

assert sizeof(Entry) == LINE


cdef inline size_t arena_bytes(uint32_t capacity) noexcept nogil:
    return <size_t>capacity * sizeof(Entry) + LINE


cdef int grow_entries(Table* t, uint32_t capacity) except -1:
    """Resizes the arena, which moves by page tables once it is large, and not by copy."""
    cdef size_t old_shift = <char*>t.entries - <char*>t.block, new_shift
    cdef char* block
    if t.block == NULL:
        block = <char*>array_new(arena_bytes(capacity))
    else:
        block = <char*>array_grow(t.block, arena_bytes(t.entry_capacity), arena_bytes(capacity))
    if block == NULL:
        raise MemoryError()
    new_shift = (LINE - (<uintptr_t>block & (LINE - 1))) & (LINE - 1)
    if new_shift != old_shift and t.block != NULL:
        memmove(block + new_shift, block + old_shift, <size_t>t.entry_high * sizeof(Entry))
    t.block = block
    t.entries = <Entry*>(block + new_shift)
    t.entry_capacity = capacity
    return 0


cdef int table_init(Table* t, uint64_t seed) except -1:
    memset(t, 0, sizeof(Table))
    t.seed = seed
    grow_entries(t, FIRST_ENTRIES)
    if not slots_init(&t.slots):
        table_free(t)
        raise MemoryError()
    memset(t.entries, 0, sizeof(Entry))
    t.entry_high = 1
    return 0


cdef void table_free(Table* t) noexcept nogil:
    slots_free(&t.slots)
    ghosts_free(&t.ghosts)
    if t.block != NULL:
        array_free(t.block, arena_bytes(t.entry_capacity))
    memset(t, 0, sizeof(Table))


cdef bint table_choose(Table* t, uint32_t policy) noexcept nogil:
    if policy == t.policy:
        return True
    if t.entry_high != 1:
        return False
    t.policy = policy
    memset(t.entries + 1, 0, sizeof(Entry))
    ring_insert(t.entries, 0, 1)
    t.entry_high = 2
    return True


cdef uint32_t table_take(Table* t) except 0:
    cdef uint32_t index = t.free_head
    if index:
        t.free_head = t.entries[index].next
        return index
    if t.entry_high == t.entry_capacity:
        if t.entry_capacity >= 0x80000000:
            raise MemoryError("L1 holds at most 2**31 entries")
        grow_entries(t, t.entry_capacity + max(t.entry_capacity // 2, FIRST_ENTRIES))
    index = t.entry_high
    t.entry_high += 1
    if index % HUGE_PAGE_ENTRIES == 0:
        array_filled(t.entries + index - HUGE_PAGE_ENTRIES, t.entries + index)
    return index


cdef void table_give_back(Table* t, uint32_t index) noexcept nogil:
    t.entries[index].key = t.entries[index].value = NULL
    t.entries[index].meta = 0
    t.entries[index].next = t.free_head
    t.free_head = index


cdef int table_reserve(Table* t, uint32_t fragment) except -1:
    if not slots_reserve(&t.slots, t.live, fragment):
        raise MemoryError()
    return 0


cdef void make_live(Table* t, uint32_t index, uint32_t queue) noexcept nogil:
    """`queue` is a sentinel."""
    cdef Entry* entry = t.entries + index
    slots_insert(&t.slots, entry.fragment, index)
    t.live += 1
    t.used_bytes += entry.size_bytes
    entry.meta |= LIVE
    if queue:
        entry.meta |= SMALL
        t.small_bytes += entry.size_bytes
    ring_insert(t.entries, queue, index)


cdef void table_insert(Table* t, uint32_t index, Displaced* out) noexcept nogil:
    cdef const Entry* entry = t.entries + index
    cdef uint32_t queue = 0
    if t.policy != LRU:
        queue = not ghosts_take(&t.ghosts, entry.fragment)
    table_shrink(t, t.budget_bytes - entry.size_bytes, out)
    make_live(t, index, queue)


cdef inline void append(Table* t, uint32_t index, uint32_t cause, Displaced* out) noexcept nogil:
    t.entries[index].meta &= ~<uint32_t>LIVE
    t.entries[index].prev = cause
    t.entries[index].next = 0
    if out.head:
        t.entries[out.tail].next = index
    else:
        out.head = index
    out.tail = index
    out.causes |= <uint32_t>1 << cause
    t.displaced += 1
    t.counts[cause] += 1


cdef void take_out(Table* t, uint32_t index) noexcept nogil:
    """Of slots, ring and sums; it still is LIVE."""
    cdef Entry* entry = t.entries + index
    slots_remove(&t.slots, entry.fragment, index)
    ring_remove(t.entries, index)
    t.live -= 1
    t.used_bytes -= entry.size_bytes
    if entry.meta & SMALL:
        t.small_bytes -= entry.size_bytes
        entry.meta &= ~<uint32_t>SMALL


cdef void table_displace(Table* t, uint32_t index, uint32_t cause, Displaced* out) noexcept nogil:
    take_out(t, index)
    append(t, index, cause, out)


cdef inline void resize_entry(Table* t, Entry* entry, int64_t size_bytes) noexcept nogil:
    t.used_bytes += size_bytes - entry.size_bytes
    if entry.meta & SMALL:
        t.small_bytes += size_bytes - entry.size_bytes
    entry.size_bytes = size_bytes


cdef bint table_fits(const Table* t, uint32_t index, int64_t size_bytes) noexcept nogil:
    return (
        t.policy == LRU
        or t.used_bytes - t.entries[index].size_bytes + size_bytes <= t.budget_bytes
    )


cdef void table_replace(
    Table* t, uint32_t index, uint32_t fresh, uint32_t cause, Displaced* out
) noexcept nogil:
    cdef Entry* entry = t.entries + index
    cdef uint32_t kept = entry.meta & (USES_MASK | SMALL)
    cdef Entry old
    cdef bint fits = table_fits(t, index, t.entries[fresh].size_bytes)
    if fits:
        resize_entry(t, entry, t.entries[fresh].size_bytes)
    else:
        take_out(t, index)
    old = entry[0]
    entry[0] = t.entries[fresh]
    t.entries[fresh] = old
    t.entries[fresh].meta &= ~<uint32_t>SMALL
    append(t, fresh, cause, out)
    if fits:
        entry.meta |= LIVE | kept
        entry.prev = old.prev
        entry.next = old.next
        table_use(t, index)
        table_shrink(t, t.budget_bytes, out)
    else:
        table_shrink(t, t.budget_bytes - entry.size_bytes, out)
        entry.meta |= kept & USES_MASK
        make_live(t, index, 1 if kept & SMALL else 0)
        table_use(t, index)


cdef void table_overwrite(
    Table* t, uint32_t index, PyObject* key, PyObject* value, int64_t size_bytes,
    int64_t deadline_ns, uint32_t cause,
) noexcept:
    cdef Entry* entry = t.entries + index
    resize_entry(t, entry, size_bytes)
    entry_fill(entry, key, value, size_bytes, deadline_ns)
    entry.version = 0
    entry.put_ns = 0  # a look at the clock costs a twentieth of a put
    entry.meta &= LIVE | USES_MASK | SMALL
    table_use(t, index)
    t.counts[cause] += 1


cdef void table_shrink(Table* t, int64_t budget_bytes, Displaced* out) noexcept nogil:
    cdef uint32_t index
    while t.used_bytes > budget_bytes and t.live:
        index = table_victim(t)
        if is_expired(t.entries + index):
            table_displace(t, index, CAUSE_EXPIRED, out)
            continue
        if t.entries[index].meta & SMALL:
            table_remember(t, index)
        table_displace(t, index, CAUSE_SIZE, out)


cdef void table_clear(Table* t, uint32_t cause, Displaced* out) noexcept nogil:
    cdef uint32_t index = t.entries[0].prev, older
    slots_clear(&t.slots)
    ghosts_free(&t.ghosts)
    t.live = 0
    t.used_bytes = t.small_bytes = 0
    while index:
        older = t.entries[index].prev
        if t.entries[index].meta & LIVE:  # not a sentinel
            t.entries[index].meta &= ~<uint32_t>SMALL
            append(t, index, cause, out)
        index = older
    t.entries[0].prev = t.entries[0].next = 0
    if t.policy != LRU:
        ring_insert(t.entries, 0, 1)


cdef void table_release(Table* t, Displaced* out) noexcept:
    cdef uint32_t index
    cdef PyObject* key
    cdef PyObject* value
    while out.head:
        index = out.head
        key = t.entries[index].key
        value = t.entries[index].value
        out.head = t.entries[index].next
        table_give_back(t, index)
        t.displaced -= 1
        Py_XDECREF(value)
        Py_XDECREF(key)
    out.tail = out.causes = 0


cdef void table_trim(Table* t) noexcept:
    cdef Table small
    if t.live or t.displaced or t.entry_capacity <= 1024:
        return
    try:
        table_init(&small, t.seed)
    except MemoryError:
        return  # the big arrays serve as well
    small.slots.stamp = t.slots.stamp + 1
    small.budget_bytes = t.budget_bytes
    memcpy(small.counts, t.counts, sizeof(t.counts))
    table_choose(&small, t.policy)
    table_free(t)
    t[0] = small


cdef int table_visit(const Table* t, visitproc visit, void* arg) noexcept:
    cdef const Entry* entry
    cdef uint32_t i
    cdef int stop = 0
    for i in range(1, t.entry_high):
        entry = t.entries + i
        if entry.key != NULL:
            stop = visit(<PyObject*>entry.key, arg)
            if stop == 0:
                stop = visit(<PyObject*>entry.value, arg)
            if stop:
                break
    return stop


cdef uint64_t table_bytes(const Table* t) noexcept nogil:
    return slots_bytes(&t.slots) + t.entry_capacity * sizeof(Entry)


cdef uint64_t table_longest_probe(const Table* t) noexcept nogil:
    return slots_longest_probe(&t.slots)
