"""From a 32-bit fragment of a hash to an index: open addressing, sorted, grown in steps.

slots    8 bytes each, sorted by falling `fragment`, with gaps. A fragment's home is
         `~fragment * count >> 32`, which grows as the fragment falls, so linear probing keeps the
         whole array in order: a search stops at the first smaller fragment (an empty slot carries
         the smallest one, and fresh memory is empty), growth by any factor is one forward pass, and
         nothing ever wraps round. Slots past `count` take what spills over the end; the very last
         one stays empty.
growth   makes a larger array and moves a few slots on every insertion, the largest fragments first.
         Those of at least `frontier` are in `slots`; the others still in `old_slots`, where the
         copies left behind are passed over, for their fragments are larger than any looked for.

Nothing here runs Python or can raise, but `slots_check`.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef struct Slot:
    uint32_t fragment
    uint32_t entry         # 0: empty

cdef struct Slots:         # start with slots_init
    Slot* slots
    uint64_t count
    uint64_t frontier      # 0: nothing is left in `old_slots`
    uint64_t total         # with the overflow area
    uint64_t limit         # slots in use at which the array grows
    uint64_t stamp         # changes whenever a slot does
    Slot* old_slots
    uint64_t old_count
    uint64_t old_total
    uint64_t old_discarded  # slots whose memory was given back


cdef inline Slot* first_in(Slot* slots, uint64_t count, uint32_t fragment) noexcept nogil:
    cdef Slot* slot = slots + ((<uint64_t>~fragment * count) >> 32)
    # Sorted, so counting is searching; and without branches that no processor could predict.
    slot += (
        (slot[0].fragment > fragment) + (slot[1].fragment > fragment)
        + (slot[2].fragment > fragment) + (slot[3].fragment > fragment)
    )
    while slot.fragment > fragment:
        slot += 1
    return slot


cdef inline Slot* slots_first(const Slots* s, uint32_t fragment) noexcept nogil:
    """Where `fragment` is, or would be: the first slot that does not hold a larger one."""
    if fragment < s.frontier:
        return first_in(s.old_slots, s.old_count, fragment)
    return first_in(s.slots, s.count, fragment)


# False when there is no memory; then nothing was made. Also serves what was freed.
cdef bint slots_init(Slots* s) noexcept nogil
cdef void slots_free(Slots* s) noexcept nogil
cdef void slots_clear(Slots* s) noexcept nogil

# Room for one more slot holding `fragment` beside the `used` ones, and a step of growth: after it
# `slots_insert` finds room. False when there is no memory; everything is still where it was.
cdef bint slots_reserve(Slots* s, uint64_t used, uint32_t fragment) noexcept nogil
cdef void slots_insert(Slots* s, uint32_t fragment, uint32_t entry) noexcept nogil
# `entry` is there.
cdef void slots_remove(Slots* s, uint32_t fragment, uint32_t entry) noexcept nogil

# Walks every invariant, AssertionError with details; the number of slots in use. `fragments` begins
# at entry 0's and goes on every `stride` bytes: what the slots must agree with.
cdef int64_t slots_check(
    const Slots* s, const uint32_t* fragments, uint32_t stride, uint32_t entries
) except -1
cdef uint64_t slots_bytes(const Slots* s) noexcept nogil
# The most slots a search walks from a home.
cdef uint64_t slots_longest_probe(const Slots* s) noexcept nogil
