"""Slots, arena and recency list of L1; table.pxd describes them."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memmove, memset

cdef enum:
    FIRST_SLOTS = 16
    FIRST_ENTRIES = 8
    LINE = 64
    EMPTY = 0xFFFFFFFF       # the fragment of an empty slot; a full one may have it too

assert sizeof(Entry) == LINE
assert sizeof(Slot) == 8


cdef inline uint64_t home(uint32_t fragment, uint64_t slot_count) noexcept nogil:
    return (<uint64_t>fragment * slot_count) >> 32


cdef Slot* new_slots(uint64_t total) noexcept nogil:
    cdef Slot* slots = <Slot*>PyMem_RawMalloc(total * sizeof(Slot))
    cdef uint64_t i
    if slots != NULL:
        for i in range(total):
            slots[i].fragment = EMPTY
            slots[i].entry = 0
    return slots


cdef void use_slots(Table* t, Slot* slots, uint64_t count, uint64_t total) noexcept nogil:
    t.slots = slots
    t.slot_count = count
    t.slot_total = total
    t.slot_limit = count * 4 // 5
    t.stamp += 1


cdef inline uint64_t overflow_area(uint64_t count) noexcept nogil:
    """Slots past the end: more than a run at load 0.8 ever needs, unless hashes are crafted."""
    return 256 if count > 4096 else 16 + count // 16


cdef int regrow_slots(Table* t, uint64_t count, uint64_t total) except -1:
    """Moves every slot, in order, to a new array where run after run is packed from its home."""
    cdef Slot* slots
    cdef uint64_t i, at, next = 0
    while True:
        slots = new_slots(total)
        if slots == NULL:
            raise MemoryError()
        next = 0
        for i in range(t.slot_total):
            if t.slots[i].entry == 0:
                continue
            at = max(home(t.slots[i].fragment, count), next)
            if at + 1 >= total:
                break
            slots[at] = t.slots[i]
            next = at + 1
        else:
            break
        PyMem_RawFree(slots)
        total += total - count + t.live
    PyMem_RawFree(t.slots)
    use_slots(t, slots, count, total)
    return 0


cdef int grow_entries(Table* t, uint32_t capacity) except -1:
    """Resizes the arena. Large blocks move by page tables (mremap inside realloc), not by copy."""
    cdef size_t old_shift, new_shift
    cdef char* block
    old_shift = 0 if t.block == NULL else <char*>t.entries - <char*>t.block
    block = <char*>PyMem_RawRealloc(t.block, <size_t>capacity * sizeof(Entry) + LINE)
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
    cdef uint64_t total = FIRST_SLOTS + overflow_area(FIRST_SLOTS)
    cdef Slot* slots
    memset(t, 0, sizeof(Table))
    t.seed = seed
    grow_entries(t, FIRST_ENTRIES)
    slots = new_slots(total)
    if slots == NULL:
        table_free(t)
        raise MemoryError()
    use_slots(t, slots, FIRST_SLOTS, total)
    memset(t.entries, 0, sizeof(Entry))
    t.entry_high = 1
    return 0


cdef void table_free(Table* t) noexcept nogil:
    PyMem_RawFree(t.slots)
    PyMem_RawFree(t.block)
    memset(t, 0, sizeof(Table))


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
    t.entries[index].key = t.entries[index].value = NULL
    t.entries[index].meta = 0
    return index


cdef void table_give_back(Table* t, uint32_t index) noexcept nogil:
    t.entries[index].key = t.entries[index].value = NULL
    t.entries[index].meta = 0
    t.entries[index].next = t.free_head
    t.free_head = index


cdef inline Slot* end_of_run(const Table* t, uint32_t fragment) noexcept nogil:
    """The empty slot that an insertion of `fragment` will take."""
    cdef Slot* slot = first_slot(t, fragment)
    while slot.entry:
        slot += 1
    return slot


cdef int table_reserve(Table* t, uint32_t fragment) except -1:
    cdef uint64_t count
    if t.live + 1 > t.slot_limit:
        count = t.slot_count + t.slot_count // 2
        regrow_slots(t, count, count + overflow_area(count))
    while end_of_run(t, fragment) == t.slots + t.slot_total - 1:
        # Equal or crafted hashes: more room past the end, doubling so that it stays amortised.
        regrow_slots(t, t.slot_count, 2 * t.slot_total - t.slot_count)
    return 0


cdef void table_insert(Table* t, uint32_t index) noexcept nogil:
    cdef uint32_t fragment = t.entries[index].fragment
    cdef Slot* slot = first_slot(t, fragment)
    cdef Slot* hole
    while slot.fragment == fragment and slot.entry:
        slot += 1
    hole = slot
    while hole.entry:
        hole += 1
    memmove(slot + 1, slot, <size_t>(<char*>hole - <char*>slot))
    slot.fragment = fragment
    slot.entry = index
    t.stamp += 1
    t.live += 1
    t.used_bytes += t.entries[index].size_bytes
    t.entries[index].meta |= LIVE
    lru_insert(t.entries, index)


cdef void remove_slot(Table* t, uint32_t index) noexcept nogil:
    cdef Slot* slot = first_slot(t, t.entries[index].fragment)
    cdef Slot* last
    while slot.entry != index:
        slot += 1
    last = slot
    while last[1].entry and home(last[1].fragment, t.slot_count) <= <uint64_t>(last - t.slots):
        last += 1
    memmove(slot, slot + 1, <size_t>(<char*>last - <char*>slot))
    last.fragment = EMPTY
    last.entry = 0
    t.stamp += 1


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


cdef void table_displace(Table* t, uint32_t index, uint32_t cause, Displaced* out) noexcept nogil:
    remove_slot(t, index)
    lru_remove(t.entries, index)
    t.live -= 1
    t.used_bytes -= t.entries[index].size_bytes
    append(t, index, cause, out)


cdef void table_replace(Table* t, uint32_t index, uint32_t fresh, Displaced* out) noexcept nogil:
    cdef Entry old = t.entries[index]
    cdef Entry* entry = t.entries + index
    entry[0] = t.entries[fresh]
    entry.meta |= LIVE
    entry.prev = old.prev
    entry.next = old.next
    t.entries[fresh] = old
    t.used_bytes += entry.size_bytes - old.size_bytes
    lru_hit(t.entries, index)
    append(t, fresh, CAUSE_REPLACED, out)


cdef void table_overwrite(
    Table* t, uint32_t index, PyObject* key, PyObject* value, int64_t size_bytes,
    int64_t deadline_ns,
) noexcept:
    cdef Entry* entry = t.entries + index
    t.used_bytes += size_bytes - entry.size_bytes
    entry_fill(entry, key, value, size_bytes, deadline_ns)
    entry.version = 0
    entry.meta = LIVE
    lru_hit(t.entries, index)
    t.counts[CAUSE_REPLACED] += 1


cdef void table_shrink(Table* t, int64_t budget_bytes, Displaced* out) noexcept nogil:
    while t.used_bytes > budget_bytes and t.live:
        table_displace(t, lru_victim(t), CAUSE_SIZE, out)


cdef void table_clear(Table* t, uint32_t cause, Displaced* out) noexcept nogil:
    cdef uint32_t index = t.entries[0].prev, older
    cdef uint64_t i
    for i in range(t.slot_total):
        t.slots[i].fragment = EMPTY
        t.slots[i].entry = 0
    t.stamp += 1
    t.live = 0
    t.used_bytes = 0
    t.entries[0].prev = t.entries[0].next = 0
    while index:
        older = t.entries[index].prev
        append(t, index, cause, out)
        index = older


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
    small.stamp = t.stamp + 1
    memcpy(small.counts, t.counts, sizeof(t.counts))
    table_free(t)
    t[0] = small


cdef int table_check(const Table* t) except -1:
    cdef uint64_t i, last_fragment = 0, start, run = 0, full = 0
    cdef uint32_t index, before, walked = 0
    cdef int64_t size = 0
    cdef const Entry* e
    assert t.slot_count < t.slot_total and not t.slots[t.slot_total - 1].entry, "last slot is full"
    for i in range(t.slot_total):
        index = t.slots[i].entry
        if index == 0:
            assert t.slots[i].fragment == EMPTY, f"slot {i} is empty but has a fragment"
            run = i + 1
            continue
        full += 1
        assert index < t.entry_high, f"slot {i} names entry {index} of {t.entry_high}"
        e = t.entries + index
        assert e.meta & LIVE, f"slot {i} names entry {index}, which is not live"
        assert e.key != NULL and e.value != NULL, f"entry {index} lost its references"
        assert e.key.ob_refcnt > 0 and e.value.ob_refcnt > 0, f"entry {index}: reference stolen"
        assert e.fragment == t.slots[i].fragment, f"slot {i}: fragment differs from entry {index}"
        assert e.fragment >= last_fragment, f"slot {i} is out of order"
        last_fragment = e.fragment
        start = home(e.fragment, t.slot_count)
        assert run <= start <= i, f"slot {i}: a gap before it, or before its home {start}"
    assert full == t.live, f"{full} slots for {t.live} live entries"
    before, index = 0, t.entries[0].next
    while index:
        e = t.entries + index
        assert walked < t.live, "the recency list is longer than the table, or a ring"
        assert e.prev == before, f"entry {index}: prev is {e.prev}, not {before}"
        assert e.meta & LIVE, f"entry {index} is listed but not live"
        assert e.size_bytes >= 0, f"entry {index} has size {e.size_bytes}"
        size += e.size_bytes
        walked += 1
        before, index = index, e.next
    assert t.entries[0].prev == before, "the recency list does not end where it should"
    assert walked == t.live, f"{walked} entries listed, {t.live} live"
    assert size == t.used_bytes, f"entries add up to {size} bytes, counted {t.used_bytes}"
    walked, index = 0, t.free_head
    while index:
        e = t.entries + index
        assert walked < t.entry_high, "the free list is a ring"
        assert e.key == NULL and e.value == NULL and not e.meta, f"free entry {index} is in use"
        walked += 1
        index = e.next
    assert 1 + walked + t.live + t.displaced == t.entry_high, (
        f"{t.entry_high} entries: {t.live} live, {walked} free, {t.displaced} displaced"
    )
    return 0


cdef uint64_t table_longest_probe(const Table* t) noexcept nogil:
    cdef uint64_t i, longest = 0
    for i in range(t.slot_total):
        if t.slots[i].entry:
            longest = max(longest, i - home(t.slots[i].fragment, t.slot_count))
    return longest
