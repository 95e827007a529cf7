"""Changing the index. What changes it runs under the write lock.

One slot store is the unit of change. What belongs to it (the counts, the overflow pointer) is
written to the redo line first, so that a death between two stores is finished, not guessed:
`recover_index` stores the same words again.

A bucket's version rises with every change of a value: odd first, even afterwards. Whoever holds a
copy of a value knows by it that nobody has put or deleted the key since. A record that moves has
the same value at another address; the version stays, and copies made of the old bytes, which are
never overwritten, stay right.

The table doubles bucket by bucket (linear hashing, Litwin 1980): a split looks at one tag bit of
each slot and reads no record. Sixteen tag bits allow sixteen doublings.
"""

from libc.stdint cimport uint64_t
from fastmem._core.layout cimport (
    FM_LINK_BIT, FM_MOST_LEVEL, FM_OVERFLOW_ID, FM_TAG_SHIFT, FM_TIER_BIT, fm_bucket, fm_index,
    fm_load_acquire, fm_load_relaxed, fm_store_relaxed, fm_store_release,
)
from fastmem._core.needs cimport CHORE_BUCKETS, CHORE_OVERFLOW

cdef uint64_t MOVED = 1ULL << 63  # in `redo_home`: the home's version stays


cdef uint64_t bucket_count(const index_t* index) noexcept nogil:
    """Buckets in use, overflow not counted."""
    return buckets_in(fm_load_acquire(&index.head.directory))


cdef uint64_t reachable(const index_t* index) noexcept nogil:
    """Buckets in use that the file is known to hold: all, unless another process has made it grow
    just now, or the directory is damaged.
    """
    return min(bucket_count(index), index.bucket_room)


cdef bint next_entry(const index_t* index, cursor_t* cursor, uint64_t* word) noexcept nogil:
    """Step to the next slot in use of the whole table, bucket by bucket; False at its end.

    Begins where `first_slot(index, 0, cursor)` put the cursor.
    """
    while True:
        while next_slot(index, cursor, word):
            if word[0]:
                return True
        if cursor.home + 1 >= reachable(index):
            return False
        first_slot(index, cursor.home + 1, cursor)


cdef void store_slot(
    index_t* index, const cursor_t* cursor, uint64_t word, uint64_t warm, uint64_t cold,
    uint64_t overflow_next, bint moved
) noexcept nogil:
    """Store `word` in the cursor's slot and set the counts, atomically across a death."""
    cdef fm_index* head = index.head
    cdef fm_bucket* home = &index.buckets[cursor.home]
    index.changing = True
    head.redo_slot = 1 + cursor.bucket_id * 8 + <uint64_t>cursor.slot
    head.redo_word = word
    head.redo_home = cursor.home | (MOVED if moved else 0)
    head.redo_warm = warm
    head.redo_cold = cold
    head.redo_overflow = overflow_next
    fm_store_release(&head.redo_armed, 1)
    apply_redo(index, home, &cursor.bucket.slot[cursor.slot])


cdef inline void apply_redo(index_t* index, fm_bucket* home, uint64_t* slot) noexcept nogil:
    """The stores of one armed redo line; running them twice ends in the same state."""
    cdef fm_index* head = index.head
    cdef uint64_t version = fm_load_relaxed(&home.version)
    cdef bint moved = head.redo_home & MOVED != 0
    if not moved:
        fm_store_release(&home.version, version | 1)
    # First: if the slot is to hold a link, a reader that meets it follows none beyond this bound.
    fm_store_relaxed(&head.overflow_next, head.redo_overflow)
    fm_store_release(slot, head.redo_word)
    head.warm_entries = head.redo_warm
    head.cold_entries = head.redo_cold
    if not moved:
        fm_store_release(&home.version, (version | 1) + 1)
    fm_store_release(&head.redo_armed, 0)


cdef void replace_word(
    index_t* index, const cursor_t* cursor, uint64_t old, uint64_t word
) noexcept nogil:
    """Change a slot that holds an entry (`old`) to `word`; 0 removes the entry."""
    change_word(index, cursor, old, word, False)


cdef void raise_version(index_t* index, uint64_t digest) noexcept nogil:
    """Tell of a change that finds nothing to change: what is being loaded for the key is void.

    One store: there are no others that it would have to enclose.
    """
    cdef uint64_t number = home_of(index, digest)
    cdef fm_bucket* home = &index.buckets[number if number < index.bucket_room else 0]
    fm_store_release(&home.version, (fm_load_relaxed(&home.version) | 1) + 1)


cdef void change_word(
    index_t* index, const cursor_t* cursor, uint64_t old, uint64_t word, bint moved
) noexcept nogil:
    """As replace_word; `moved`: by the word of another record of the same value."""
    cdef uint64_t warm = index.head.warm_entries
    cdef uint64_t cold = index.head.cold_entries
    if old & FM_TIER_BIT:
        cold -= 1
    else:
        warm -= 1
    if word & FM_TIER_BIT:
        cold += 1
    elif word:
        warm += 1
    store_slot(index, cursor, word, warm, cold, index.head.overflow_next, moved)


cdef bint insert_word(index_t* index, uint64_t home, uint64_t word) noexcept nogil:
    """Add an entry to the chain of `home`. False when the overflow file must grow first."""
    cdef cursor_t cursor
    cdef cursor_t last
    cdef uint64_t seen = 0
    cdef uint64_t fresh
    cdef fm_bucket* spill
    cdef uint64_t warm = index.head.warm_entries + (0 if word & FM_TIER_BIT else 1)
    cdef uint64_t cold = index.head.cold_entries + (1 if word & FM_TIER_BIT else 0)
    if home >= index.bucket_room:
        return False
    first_slot(index, home, &cursor)
    while next_slot(index, &cursor, &seen):
        last = cursor
        if seen == 0:
            store_slot(index, &cursor, word, warm, cold, index.head.overflow_next, False)
            return True
    # The chain is full: its last slot becomes a link to a fresh bucket that takes over its word.
    fresh = index.head.overflow_next
    if fresh >= index.overflow_room:
        return False
    spill = &index.overflow[fresh]
    clear_bucket(spill)
    last.slot = LAST_SLOT
    seen = last.bucket.slot[LAST_SLOT]
    spill.slot[0] = 0 if seen & FM_LINK_BIT else seen  # a damaged link leads nowhere: drop it
    spill.slot[1] = word
    store_slot(index, &last, FM_LINK_BIT | fresh, warm, cold, fresh + 1, False)
    return True


cdef inline void clear_bucket(fm_bucket* bucket) noexcept nogil:
    cdef int i
    for i in range(SLOTS):
        bucket.slot[i] = 0


cdef bint wants_growth(const index_t* index) noexcept nogil:
    """True while the table should be split: it is too full, or a doubling is under way."""
    cdef uint64_t most = FM_MOST_LEVEL
    if split_of(index):
        return True
    if level_of(index) >= min(<uint64_t>index.head.initial_level + 16, most):
        return False  # the tag bits or the addresses are used up: chains grow longer instead
    return (
        index.head.warm_entries + index.head.cold_entries > FILL * (1ULL << level_of(index))
    )


cdef int split_some(index_t* index) noexcept nogil:
    """Split a few buckets. Return the CHORE_* that has to be done before it can go on, or 0."""
    for _ in range(SPLITS_A_PUT):
        if not wants_growth(index):
            return 0
        if bucket_count(index) >= index.bucket_room:
            return CHORE_BUCKETS
        if not split_one(index):
            return CHORE_OVERFLOW
    return 0


cdef bint split_one(index_t* index) noexcept nogil:
    cdef uint64_t level = level_of(index)
    cdef uint64_t old = split_of(index)
    cdef uint64_t fresh = old + (1ULL << level)
    cdef uint64_t bit = 1ULL << (FM_TAG_SHIFT + level - index.head.initial_level)
    cdef uint64_t moving = 0
    cdef uint64_t word = 0
    cdef uint64_t spare
    cdef int used = 0
    cdef cursor_t cursor
    cdef fm_bucket* target = &index.buckets[fresh]
    first_slot(index, old, &cursor)
    while next_slot(index, &cursor, &word):
        moving += 1 if word & bit else 0
    if index.head.overflow_next + moving // LAST_SLOT + 1 > index.overflow_room:
        return False
    index.changing = True
    clear_bucket(target)
    target.version = fm_load_relaxed(&index.buckets[old].version)
    first_slot(index, old, &cursor)
    while next_slot(index, &cursor, &word):
        if not word & bit:
            continue
        if used == SLOTS:
            spare = index.head.overflow_next
            fm_store_relaxed(&index.head.overflow_next, spare + 1)
            clear_bucket(&index.overflow[spare])
            index.overflow[spare].slot[0] = target.slot[LAST_SLOT]
            target.slot[LAST_SLOT] = FM_LINK_BIT | spare
            target = &index.overflow[spare]
            used = 1
        target.slot[used] = word
        used += 1
    # The new chain is complete before the directory leads to it; the old words go afterwards.
    if old + 1 == 1ULL << level:
        fm_store_release(&index.head.directory, (level + 1) << 56)
    else:
        fm_store_release(&index.head.directory, level << 56 | (old + 1))
    drop_moved(index, old, bit)
    return True


cdef void drop_moved(index_t* index, uint64_t home, uint64_t bit) noexcept nogil:
    """Remove from a split bucket the words that its new half holds."""
    cdef cursor_t cursor
    cdef uint64_t word = 0
    cdef uint64_t version = fm_load_relaxed(&index.buckets[home].version)
    fm_store_release(&index.buckets[home].version, version | 1)
    first_slot(index, home, &cursor)
    while next_slot(index, &cursor, &word):
        if word & bit:
            fm_store_release(&cursor.bucket.slot[cursor.slot], 0)
    fm_store_release(&index.buckets[home].version, (version | 1) + 1)


cdef bint index_sound(const index_t* index) noexcept nogil:
    """False when the header makes no sense for the files at hand: rebuild. Writes nothing."""
    cdef const fm_index* head = index.head
    cdef uint64_t level = level_of(index)
    if level < head.initial_level or level > head.initial_level + 16:
        return False
    if split_of(index) >= 1ULL << level or bucket_count(index) > index.bucket_room:
        return False
    if max(head.warm_entries, head.cold_entries) > SLOTS * (
        bucket_count(index) + head.overflow_next
    ):
        return False
    # Files far larger than the table needs were not made by its growth.
    if index.bucket_room > 4 * bucket_count(index):
        return False
    if index.overflow_room > max(4 * head.overflow_next, index.bucket_room, <uint64_t>64):
        return False
    return 0 < head.overflow_next <= index.overflow_room


cdef bint recover_index(index_t* index) noexcept nogil:
    """Finish what a dead writer had begun. False when the header makes no sense: rebuild."""
    cdef fm_index* head = index.head
    cdef uint64_t level = level_of(index)
    cdef uint64_t split = split_of(index)
    cdef uint64_t position
    cdef uint64_t bucket_id
    cdef uint64_t home
    cdef fm_bucket* bucket
    if not index_sound(index):
        return False
    if head.redo_armed:
        position = head.redo_slot - 1
        bucket_id = position // 8
        home = head.redo_home & ~MOVED
        if home >= bucket_count(index) or position % 8 >= SLOTS:
            return False
        if head.redo_overflow == 0 or head.redo_overflow > index.overflow_room:
            return False
        if bucket_id >= FM_OVERFLOW_ID:
            bucket_id -= FM_OVERFLOW_ID
            if bucket_id >= index.overflow_room:
                return False
            bucket = &index.overflow[bucket_id]
        else:
            if bucket_id >= bucket_count(index):
                return False
            bucket = &index.buckets[bucket_id]
        apply_redo(index, &index.buckets[home], &bucket.slot[position % 8])
    if split:
        drop_moved(index, split - 1, 1ULL << (FM_TAG_SHIFT + level - head.initial_level))
    elif level > head.initial_level:
        drop_moved(
            index, (1ULL << (level - 1)) - 1,
            1ULL << (FM_TAG_SHIFT + level - 1 - head.initial_level),
        )
    return True
