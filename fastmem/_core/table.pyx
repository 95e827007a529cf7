"""Slots, arena and recency list of L1; table.pxd describes them."""

from cpython.ref cimport Py_XDECREF
from libc.limits cimport INT_MAX
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memmove, memset

cdef extern from "pages.h" nogil:
    void* array_new "fm_array_new"(size_t size) noexcept
    void* array_grow "fm_array_grow"(void* array, size_t old_size, size_t size) noexcept
    void array_free "fm_array_free"(void* array, size_t size) noexcept
    void array_filled "fm_array_filled"(void* start, void* end) noexcept
    void array_discard "fm_array_discard"(void* start, void* end) noexcept

cdef enum:
    FIRST_SLOTS = 16
    FIRST_ENTRIES = 8
    LINE = 64
    EMPTY = 0                # the fragment of an empty slot; a full one may have it too
    STEP = 32                # slots that a put moves while the table grows
    DISCARDED_AT_ONCE = 131072  # slots, a MiB
    HUGE_PAGE_ENTRIES = 32768

cdef uint64_t EVERY_FRAGMENT = <uint64_t>1 << 32

assert sizeof(Entry) == LINE
assert sizeof(Slot) == 8


cdef inline uint64_t home(uint32_t fragment, uint64_t slot_count) noexcept nogil:
    return (<uint64_t>~fragment * slot_count) >> 32


cdef inline uint64_t overflow_area(uint64_t count) noexcept nogil:
    """Slots past the end: more than a run at load 0.8 ever needs, unless hashes are crafted."""
    return 256 if count > 4096 else 16 + count // 16


cdef inline Slot* new_slots(uint64_t total) noexcept nogil:
    return <Slot*>array_new(total * sizeof(Slot))


cdef inline void free_slots(Slot* slots, uint64_t total) noexcept nogil:
    if slots != NULL:
        array_free(slots, total * sizeof(Slot))


cdef void use_slots(Table* t, Slot* slots, uint64_t count, uint64_t total) noexcept nogil:
    t.slots = slots
    t.slot_count = count
    t.slot_total = total
    t.slot_limit = count * 4 // 5
    t.stamp += 1


cdef void drop_old_slots(Table* t) noexcept nogil:
    free_slots(t.old_slots, t.old_total)
    t.old_slots = NULL
    t.old_count = t.old_total = t.frontier = 0


cdef inline bint is_last(const Table* t, const Slot* slot) noexcept nogil:
    return slot == t.slots + t.slot_total - 1 or slot == t.old_slots + t.old_total - 1


cdef inline Slot* end_of_run(Slot* slot) noexcept nogil:
    """The empty slot that an insertion at `slot` will take."""
    while slot.entry:
        slot += 1
    return slot


cdef inline void insert_at(Slot* slot, uint32_t fragment, uint32_t index) noexcept nogil:
    memmove(slot + 1, slot, <size_t>(<char*>end_of_run(slot) - <char*>slot))
    slot.fragment = fragment
    slot.entry = index


cdef uint64_t pack(
    const Slot* source, const Slot* end, uint64_t least, uint64_t below, Slot* slots,
    uint64_t count, uint64_t total, uint64_t next,
) noexcept nogil:
    """Appends the slots of fragments from `least` and under `below`, each at its home or at `next`,
    whichever comes later. Returns the `next` after them, or `total` when that is too little room.
    """
    cdef uint64_t at
    while source != end:
        if source.entry and least <= source.fragment < below:
            at = max(home(source.fragment, count), next)
            if at + 1 >= total:
                return total
            slots[at] = source[0]
            next = at + 1
        source += 1
    return next


cdef int repack_slots(Table* t) except -1:
    """Moves all slots at once to an array with more room past the end: only equal or crafted hashes
    come to that, and the room doubles, which keeps it amortised.
    """
    cdef uint64_t total = t.slot_total, next = 0
    cdef const Slot* end = t.slots + t.slot_total
    cdef Slot* slots
    while True:
        total += total - t.slot_count
        slots = new_slots(total)
        if slots == NULL:
            raise MemoryError()
        next = pack(t.slots, end, t.frontier, EVERY_FRAGMENT, slots, t.slot_count, total, 0)
        if next < total and t.frontier:
            next = pack(
                t.old_slots, t.old_slots + t.old_total, 0, t.frontier, slots, t.slot_count, total,
                next,
            )
        if next < total:
            break
        free_slots(slots, total)
    free_slots(t.slots, t.slot_total)
    drop_old_slots(t)
    use_slots(t, slots, t.slot_count, total)
    return 0


cdef int begin_growth(Table* t) except -1:
    cdef uint64_t count = t.slot_count + t.slot_count // 2
    cdef uint64_t total = count + overflow_area(count)
    # Fresh memory, which the kernel clears page by page when it is first touched: a step at a time.
    cdef Slot* slots = new_slots(total)
    if slots == NULL:
        raise MemoryError()
    t.old_slots = t.slots
    t.old_count = t.slot_count
    t.old_total = t.slot_total
    t.old_discarded = 0
    t.frontier = EVERY_FRAGMENT
    use_slots(t, slots, count, total)
    return 0


cdef void end_growth(Table* t) noexcept nogil:
    drop_old_slots(t)
    array_filled(t.slots, t.slots + t.slot_total)


cdef void rest_before(Table* t, const Slot* slot) noexcept nogil:
    """Ends a step of growth at `slot`: everything before it has been moved."""
    cdef uint64_t at = slot - t.old_slots, reached
    if slot.entry == 0:
        # Nothing spills over an empty slot, so whatever has its home up to here was moved.
        reached = (((at + 1) << 32) - 1) // t.old_count
        t.frontier = EVERY_FRAGMENT - 1 - reached if reached < EVERY_FRAGMENT else 0
    if t.frontier == 0:
        end_growth(t)
        return
    at = home(<uint32_t>(t.frontier - 1), t.old_count)  # no search begins before
    if at - t.old_discarded >= DISCARDED_AT_ONCE:
        array_discard(t.old_slots + t.old_discarded, t.old_slots + at)
        t.old_discarded = at


cdef int move_slots(Table* t) except -1:
    """A step of growth: moves STEP slots, and those that have the last one's fragment too."""
    cdef const Slot* slot = first_in(t.old_slots, t.old_count, <uint32_t>(t.frontier - 1))
    cdef const Slot* end = t.old_slots + t.old_total
    cdef Slot* into
    cdef uint64_t least = t.frontier     # of the fragments that were moved
    cdef int steps
    t.stamp += 1
    for steps in range(INT_MAX):
        if slot == end:
            end_growth(t)
            return 0
        if slot.entry and slot.fragment < least:
            t.frontier = least           # none of these is left
        if steps >= STEP and (slot.entry == 0 or slot.fragment < least):
            break
        if slot.entry:
            least = slot.fragment
            into = first_in(t.slots, t.slot_count, slot.fragment)
            if is_last(t, end_of_run(into)):
                return repack_slots(t)
            insert_at(into, slot.fragment, slot.entry)
        slot += 1
    t.frontier = least
    rest_before(t, slot)
    return 0


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
    free_slots(t.slots, t.slot_total)
    free_slots(t.old_slots, t.old_total)
    if t.block != NULL:
        array_free(t.block, arena_bytes(t.entry_capacity))
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
    if index % HUGE_PAGE_ENTRIES == 0:
        array_filled(t.entries + index - HUGE_PAGE_ENTRIES, t.entries + index)
    return index


cdef void table_give_back(Table* t, uint32_t index) noexcept nogil:
    t.entries[index].key = t.entries[index].value = NULL
    t.entries[index].meta = 0
    t.entries[index].next = t.free_head
    t.free_head = index


cdef int table_reserve(Table* t, uint32_t fragment) except -1:
    if t.frontier == 0 and t.live + 1 > t.slot_limit:
        begin_growth(t)
    if t.frontier:
        move_slots(t)
    while is_last(t, end_of_run(first_slot(t, fragment))):
        repack_slots(t)
    return 0


cdef void table_insert(Table* t, uint32_t index) noexcept nogil:
    cdef uint32_t fragment = t.entries[index].fragment
    insert_at(first_slot(t, fragment), fragment, index)
    t.stamp += 1
    t.live += 1
    t.used_bytes += t.entries[index].size_bytes
    t.entries[index].meta |= LIVE
    lru_insert(t.entries, index)


cdef void remove_slot(Table* t, uint32_t index) noexcept nogil:
    cdef uint32_t fragment = t.entries[index].fragment
    cdef bint old = fragment < t.frontier
    cdef Slot* slots = t.old_slots if old else t.slots
    cdef uint64_t count = t.old_count if old else t.slot_count
    cdef Slot* slot = first_in(slots, count, fragment)
    cdef Slot* last
    while slot.entry != index:
        slot += 1
    last = slot
    while last[1].entry and home(last[1].fragment, count) <= <uint64_t>(last - slots):
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
    drop_old_slots(t)
    memset(t.slots, 0, t.slot_total * sizeof(Slot))
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


cdef uint64_t check_slots(
    const Table* t, const Slot* slots, uint64_t count, uint64_t total, bint old
) except? 0:
    """Checks one array of slots and returns how many it holds of those that are meant to be."""
    cdef uint64_t i, last_fragment = EVERY_FRAGMENT, start, run = 0, full = 0
    cdef uint32_t index
    cdef const Entry* e
    assert count < total and not slots[total - 1].entry, "last slot is full"
    for i in range(total):
        index = slots[i].entry
        if index == 0:
            assert slots[i].fragment == EMPTY, f"slot {i} is empty but has a fragment"
            run = i + 1
            continue
        if (slots[i].fragment < t.frontier) != old:
            assert old, f"slot {i} belongs into the old array"
            continue
        full += 1
        assert index < t.entry_high, f"slot {i} names entry {index} of {t.entry_high}"
        e = t.entries + index
        assert e.meta & LIVE, f"slot {i} names entry {index}, which is not live"
        assert e.key != NULL and e.value != NULL, f"entry {index} lost its references"
        assert e.key.ob_refcnt > 0 and e.value.ob_refcnt > 0, f"entry {index}: reference stolen"
        assert e.fragment == slots[i].fragment, f"slot {i}: fragment differs from entry {index}"
        assert e.fragment <= last_fragment, f"slot {i} is out of order"
        last_fragment = e.fragment
        start = home(e.fragment, count)
        assert run <= start <= i, f"slot {i}: a gap before it, or before its home {start}"
    return full


cdef int table_check(const Table* t) except -1:
    cdef uint64_t full
    cdef uint32_t index, before, walked = 0
    cdef int64_t size = 0
    cdef const Entry* e
    full = check_slots(t, t.slots, t.slot_count, t.slot_total, False)
    assert (t.old_slots != NULL) == (t.frontier != 0), "old slots are kept for nothing, or missing"
    if t.frontier:
        full += check_slots(t, t.old_slots, t.old_count, t.old_total, True)
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


cdef uint64_t table_bytes(const Table* t) noexcept nogil:
    return (t.slot_total + t.old_total) * sizeof(Slot) + t.entry_capacity * sizeof(Entry)


cdef uint64_t table_longest_probe(const Table* t) noexcept nogil:
    cdef uint64_t i, longest = 0
    for i in range(t.slot_total):
        if t.slots[i].entry:
            longest = max(longest, i - home(t.slots[i].fragment, t.slot_count))
    for i in range(t.old_total):
        if t.old_slots[i].entry and t.old_slots[i].fragment < t.frontier:
            longest = max(longest, i - home(t.old_slots[i].fragment, t.old_count))
    return longest
