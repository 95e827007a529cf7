"""The index: 64-byte buckets under linear hashing, changed by one writer, read without locks."""

from libc.stdint cimport uint64_t
from fastmem._core.layout cimport (
    FM_LINK_BIT, FM_LOCATION_MASK, FM_MOST_LEVEL, FM_OVERFLOW_ID, FM_TAG_SHIFT, FM_TIER_BIT,
    fm_bucket, fm_index, fm_load_acquire, fm_load_relaxed,
)

cdef enum:
    SLOTS = 7
    LAST_SLOT = 6
    FILL = 5           # mean entries a bucket before the table doubles
    SPLITS_A_PUT = 8   # buckets split in one lock hold while doubling

cdef enum:
    NO_STAMP = 0xFFFFFFFFFFFFFFFF  # odd, and so the version of no bucket that is at rest

ctypedef struct index_t:
    fm_index* head
    fm_bucket* buckets
    fm_bucket* overflow
    uint64_t bucket_room    # buckets that the file holds, as far as this process knows
    uint64_t overflow_room
    bint changing           # since a change began, something of it can be seen

ctypedef struct cursor_t:   # one slot of one chain
    uint64_t home
    fm_bucket* bucket
    uint64_t bucket_id      # overflow buckets count from FM_OVERFLOW_ID
    int slot


cdef inline uint64_t tag_of(const index_t* index, uint64_t digest) noexcept nogil:
    """The slot tag of a key, already shifted into place: the bits just above the index bits."""
    return ((digest >> index.head.initial_level) & 0xFFFF) << FM_TAG_SHIFT


cdef inline uint64_t level_in(uint64_t directory) noexcept nogil:
    """The level that a directory word tells of: log2 of the buckets before the doubling."""
    return directory >> 56


cdef inline uint64_t split_in(uint64_t directory) noexcept nogil:
    """How many of them the doubling has split."""
    return directory & ((1ULL << 56) - 1)


cdef inline uint64_t buckets_in(uint64_t directory) noexcept nogil:
    """How many buckets it tells of: both of its parts belong together."""
    return (1ULL << level_in(directory)) + split_in(directory)


cdef inline uint64_t level_of(const index_t* index) noexcept nogil:
    return level_in(fm_load_relaxed(&index.head.directory))


cdef inline uint64_t split_of(const index_t* index) noexcept nogil:
    return split_in(fm_load_relaxed(&index.head.directory))


cdef inline uint64_t shared_tag(const index_t* index, uint64_t home) noexcept nogil:
    """The tag bits, in place, that a bucket's number has too: all its words agree with it there."""
    cdef uint64_t directory = fm_load_acquire(&index.head.directory)
    cdef uint64_t level = level_in(directory)
    if home < split_in(directory) or home >= 1ULL << level:
        level += 1
    return ((1ULL << (level - index.head.initial_level)) - 1 & 0xFFFF) << FM_TAG_SHIFT


cdef inline uint64_t home_of(const index_t* index, uint64_t digest) noexcept nogil:
    return home_in(fm_load_acquire(&index.head.directory), digest)


cdef inline uint64_t home_in(uint64_t directory, uint64_t digest) noexcept nogil:
    """The bucket of a key under a directory word."""
    cdef uint64_t level = level_in(directory)
    cdef uint64_t home = digest & ((1ULL << level) - 1)
    if home < split_in(directory):
        home = digest & ((1ULL << (level + 1)) - 1)
    return home


cdef inline uint64_t stamp_of(
    const index_t* index, uint64_t digest, uint64_t* home
) noexcept nogil:
    """The version of the key's home bucket, taken before a look at its slots. While the bucket has
    it, no key of the chain gets, or loses, a value. NO_STAMP where a change is under way.
    """
    cdef uint64_t version
    home[0] = home_of(index, digest)
    if home[0] >= index.bucket_room:
        return NO_STAMP
    version = fm_load_acquire(&index.buckets[home[0]].version)
    # A split has the directory lead elsewhere, and then raises this version: read after that, it
    # would tell nothing of the bucket that the key is in.
    if version & 1 or home_of(index, digest) != home[0]:
        return NO_STAMP
    return version


cdef inline bint is_at(
    const index_t* index, uint64_t digest, uint64_t home, uint64_t stamp
) noexcept nogil:
    """Whether `stamp_of` would still say the same, and not that a change is under way."""
    cdef uint64_t now = 0
    return stamp != NO_STAMP and stamp_of(index, digest, &now) == stamp and now == home


cdef inline void first_slot(const index_t* index, uint64_t home, cursor_t* cursor) noexcept nogil:
    """Before the first slot of a bucket's chain; one that lies beyond the file's room has none."""
    cdef bint there = home < index.bucket_room
    cursor.home = home
    cursor.bucket = &index.buckets[home if there else 0]
    cursor.bucket_id = home
    cursor.slot = -1 if there else LAST_SLOT


cdef inline uint64_t most_overflow(const index_t* index) noexcept nogil:
    """The overflow buckets that there are, as the file itself tells, and may be at all."""
    return min(fm_load_acquire(&index.head.overflow_room), 1ULL << FM_MOST_LEVEL)


cdef inline bint next_slot(
    const index_t* index, cursor_t* cursor, uint64_t* word
) noexcept nogil:
    """Step to the next slot of the chain, following links; False at its end."""
    cdef uint64_t link
    cursor.slot += 1
    if cursor.slot == SLOTS:
        return False
    word[0] = fm_load_acquire(&cursor.bucket.slot[cursor.slot])
    if cursor.slot == LAST_SLOT and word[0] & FM_LINK_BIT:
        link = word[0] & FM_LOCATION_MASK
        # Links only ever point to younger buckets, so a damaged one cannot make a cycle.
        if link == 0 or link >= fm_load_acquire(&index.head.overflow_next):
            return False
        if link >= index.overflow_room and link >= most_overflow(index):
            return False
        if cursor.bucket_id >= FM_OVERFLOW_ID and link <= cursor.bucket_id - FM_OVERFLOW_ID:
            return False
        cursor.bucket = &index.overflow[link]
        cursor.bucket_id = FM_OVERFLOW_ID + link
        cursor.slot = 0
        word[0] = fm_load_acquire(&cursor.bucket.slot[0])
    return True


cdef bint next_entry(const index_t* index, cursor_t* cursor, uint64_t* word) noexcept nogil
cdef void store_slot(
    index_t* index, const cursor_t* cursor, uint64_t word, uint64_t warm, uint64_t cold,
    uint64_t overflow_next, bint moved
) noexcept nogil
cdef bint insert_word(index_t* index, uint64_t home, uint64_t word) noexcept nogil
cdef void replace_word(
    index_t* index, const cursor_t* cursor, uint64_t old, uint64_t word
) noexcept nogil
cdef void change_word(
    index_t* index, const cursor_t* cursor, uint64_t old, uint64_t word, bint moved
) noexcept nogil
cdef void raise_version(index_t* index, uint64_t digest) noexcept nogil
cdef bint wants_growth(const index_t* index) noexcept nogil
cdef int split_some(index_t* index) noexcept nogil
cdef bint index_sound(const index_t* index) noexcept nogil
cdef bint recover_index(index_t* index) noexcept nogil
cdef uint64_t bucket_count(const index_t* index) noexcept nogil
cdef uint64_t reachable(const index_t* index) noexcept nogil
