"""Slots and their growth; slots.pxd describes them."""

from libc.limits cimport INT_MAX
from libc.string cimport memmove, memset

from fastmem._core.pages cimport array_discard, array_filled, array_free, array_new

cdef enum:
    FIRST_SLOTS = 16
    EMPTY = 0                # the fragment of an empty slot; a full one may have it too
    STEP = 32                # slots that an insertion moves while the array grows
    DISCARDED_AT_ONCE = 131072  # slots, a MiB

cdef uint64_t EVERY_FRAGMENT = <uint64_t>1 << 32

assert sizeof(Slot) == 8


cdef inline uint64_t home(uint32_t fragment, uint64_t count) noexcept nogil:
    return (<uint64_t>~fragment * count) >> 32


cdef inline uint64_t overflow_area(uint64_t count) noexcept nogil:
    """Slots past the end: more than a run at load 0.8 ever needs, unless hashes are crafted."""
    return 256 if count > 4096 else 16 + count // 16


cdef inline Slot* new_slots(uint64_t total) noexcept nogil:
    return <Slot*>array_new(total * sizeof(Slot))


cdef inline void free_slots(Slot* slots, uint64_t total) noexcept nogil:
    if slots != NULL:
        array_free(slots, total * sizeof(Slot))


cdef void use_slots(Slots* s, Slot* slots, uint64_t count, uint64_t total) noexcept nogil:
    s.slots = slots
    s.count = count
    s.total = total
    s.limit = count * 4 // 5
    s.stamp += 1


cdef void drop_old_slots(Slots* s) noexcept nogil:
    free_slots(s.old_slots, s.old_total)
    s.old_slots = NULL
    s.old_count = s.old_total = s.frontier = 0


cdef bint slots_init(Slots* s) noexcept nogil:
    cdef uint64_t total = FIRST_SLOTS + overflow_area(FIRST_SLOTS)
    cdef Slot* slots = new_slots(total)
    memset(s, 0, sizeof(Slots))
    if slots == NULL:
        return False
    use_slots(s, slots, FIRST_SLOTS, total)
    return True


cdef void slots_free(Slots* s) noexcept nogil:
    free_slots(s.slots, s.total)
    drop_old_slots(s)
    memset(s, 0, sizeof(Slots))


cdef void slots_clear(Slots* s) noexcept nogil:
    drop_old_slots(s)
    memset(s.slots, 0, s.total * sizeof(Slot))
    s.stamp += 1


cdef inline bint is_last(const Slots* s, const Slot* slot) noexcept nogil:
    return slot + 1 == s.slots + s.total or slot + 1 == s.old_slots + s.old_total


cdef inline Slot* end_of_run(Slot* slot) noexcept nogil:
    """The empty slot that an insertion at `slot` will take."""
    while slot.entry:
        slot += 1
    return slot


cdef inline void insert_at(Slot* slot, uint32_t fragment, uint32_t entry) noexcept nogil:
    memmove(slot + 1, slot, <size_t>(<char*>end_of_run(slot) - <char*>slot))
    slot.fragment = fragment
    slot.entry = entry


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


cdef bint repack_slots(Slots* s) noexcept nogil:
    """Moves all slots at once to an array with more room past the end: only equal or crafted hashes
    come to that, and the room doubles, which keeps it amortised.
    """
    cdef uint64_t total = s.total, next = 0
    cdef const Slot* end = s.slots + s.total
    cdef Slot* slots
    while True:
        total += total - s.count
        slots = new_slots(total)
        if slots == NULL:
            return False
        next = pack(s.slots, end, s.frontier, EVERY_FRAGMENT, slots, s.count, total, 0)
        if next < total and s.frontier:
            next = pack(
                s.old_slots, s.old_slots + s.old_total, 0, s.frontier, slots, s.count, total, next
            )
        if next < total:
            break
        free_slots(slots, total)
    free_slots(s.slots, s.total)
    drop_old_slots(s)
    use_slots(s, slots, s.count, total)
    return True


cdef bint begin_growth(Slots* s) noexcept nogil:
    cdef uint64_t count = s.count + s.count // 2
    cdef uint64_t total = count + overflow_area(count)
    # Fresh memory, which the kernel clears page by page when it is first touched: a step at a time.
    cdef Slot* slots = new_slots(total)
    if slots == NULL:
        return False
    s.old_slots = s.slots
    s.old_count = s.count
    s.old_total = s.total
    s.old_discarded = 0
    s.frontier = EVERY_FRAGMENT
    use_slots(s, slots, count, total)
    return True


cdef void end_growth(Slots* s) noexcept nogil:
    drop_old_slots(s)
    array_filled(s.slots, s.slots + s.total)


cdef void rest_before(Slots* s, const Slot* slot) noexcept nogil:
    """Ends a step of growth at `slot`: everything before it has been moved."""
    cdef uint64_t at = slot - s.old_slots, reached
    if slot.entry == 0:
        # Nothing spills over an empty slot, so whatever has its home up to here was moved.
        reached = (((at + 1) << 32) - 1) // s.old_count
        s.frontier = EVERY_FRAGMENT - 1 - reached if reached < EVERY_FRAGMENT else 0
    if s.frontier == 0:
        end_growth(s)
        return
    at = home(<uint32_t>(s.frontier - 1), s.old_count)  # no search begins before
    if at - s.old_discarded >= DISCARDED_AT_ONCE:
        array_discard(s.old_slots + s.old_discarded, s.old_slots + at)
        s.old_discarded = at


cdef bint move_slots(Slots* s) noexcept nogil:
    """A step of growth: moves STEP slots, and those that have the last one's fragment too."""
    cdef const Slot* slot = first_in(s.old_slots, s.old_count, <uint32_t>(s.frontier - 1))
    cdef const Slot* end = s.old_slots + s.old_total
    cdef Slot* into
    cdef uint64_t least = s.frontier     # of the fragments that were moved
    cdef int steps
    s.stamp += 1
    for steps in range(INT_MAX):
        if slot == end:
            end_growth(s)
            return True
        if slot.entry and slot.fragment < least:
            s.frontier = least           # none of these is left
        if steps >= STEP and (slot.entry == 0 or slot.fragment < least):
            break
        if slot.entry:
            least = slot.fragment
            into = first_in(s.slots, s.count, slot.fragment)
            if is_last(s, end_of_run(into)):
                return repack_slots(s)
            insert_at(into, slot.fragment, slot.entry)
        slot += 1
    s.frontier = least
    rest_before(s, slot)
    return True


cdef bint slots_reserve(Slots* s, uint64_t used, uint32_t fragment) noexcept nogil:
    if s.frontier == 0 and used + 1 > s.limit and not begin_growth(s):
        return False
    if s.frontier and not move_slots(s):
        return False
    while is_last(s, end_of_run(slots_first(s, fragment))):
        if not repack_slots(s):
            return False
    return True


cdef void slots_insert(Slots* s, uint32_t fragment, uint32_t entry) noexcept nogil:
    insert_at(slots_first(s, fragment), fragment, entry)
    s.stamp += 1


cdef void slots_remove(Slots* s, uint32_t fragment, uint32_t entry) noexcept nogil:
    cdef bint old = fragment < s.frontier
    cdef Slot* slots = s.old_slots if old else s.slots
    cdef uint64_t count = s.old_count if old else s.count
    cdef Slot* slot = first_in(slots, count, fragment)
    cdef Slot* last
    while slot.entry != entry:
        slot += 1
    last = slot
    while last[1].entry and home(last[1].fragment, count) <= <uint64_t>(last - slots):
        last += 1
    memmove(slot, slot + 1, <size_t>(<char*>last - <char*>slot))
    last.fragment = EMPTY
    last.entry = 0
    s.stamp += 1


cdef int64_t check_array(
    const Slots* s, bint old, const char* fragments, uint32_t stride, uint32_t entries
) except -1:
    cdef const Slot* slots = s.old_slots if old else s.slots
    cdef uint64_t count = s.old_count if old else s.count
    cdef uint64_t total = s.old_total if old else s.total
    cdef uint64_t i, last_fragment = EVERY_FRAGMENT, start, run = 0
    cdef int64_t used = 0
    cdef uint32_t entry, fragment
    assert count < total and not slots[total - 1].entry, "last slot is full"
    for i in range(total):
        entry = slots[i].entry
        fragment = slots[i].fragment
        if entry == 0:
            assert fragment == EMPTY, f"slot {i} is empty but has a fragment"
            run = i + 1
            continue
        if (fragment < s.frontier) != old:
            assert old, f"slot {i} belongs into the old array"
            continue
        used += 1
        assert entry < entries, f"slot {i} names entry {entry} of {entries}"
        assert fragment == (<const uint32_t*>(fragments + <size_t>entry * stride))[0], (
            f"slot {i}: fragment differs from entry {entry}"
        )
        assert fragment <= last_fragment, f"slot {i} is out of order"
        last_fragment = fragment
        start = home(fragment, count)
        assert run <= start <= i, f"slot {i}: a gap before it, or before its home {start}"
    return used


cdef int64_t slots_check(
    const Slots* s, const uint32_t* fragments, uint32_t stride, uint32_t entries
) except -1:
    cdef int64_t used = check_array(s, False, <const char*>fragments, stride, entries)
    assert (s.old_slots != NULL) == (s.frontier != 0), "old slots are kept for nothing, or missing"
    if s.frontier:
        used += check_array(s, True, <const char*>fragments, stride, entries)
    return used


cdef uint64_t slots_bytes(const Slots* s) noexcept nogil:
    return (s.total + s.old_total) * sizeof(Slot)


cdef uint64_t slots_longest_probe(const Slots* s) noexcept nogil:
    cdef uint64_t i, longest = 0
    for i in range(s.total):
        if s.slots[i].entry:
            longest = max(longest, i - home(s.slots[i].fragment, s.count))
    for i in range(s.old_total):
        if s.old_slots[i].entry and s.old_slots[i].fragment < s.frontier:
            longest = max(longest, i - home(s.old_slots[i].fragment, s.old_count))
    return longest
