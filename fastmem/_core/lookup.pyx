"""Finding a key's record. Nothing here takes a lock, and none of it needs the GIL."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memcmp
from fastmem._core.ahead cimport ask_for_place
from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.faults cimport guarded, peek
from fastmem._core.index cimport cursor_t, first_slot, home_in, next_slot, tag_of
from fastmem._core.layout cimport (
    FM_COLD_EXTENSION, FM_RECORD_HEADER, FM_TAG_MASK, FM_TOUCHED_BITS,
    fm_clear_bits, fm_load_acquire, fm_load_relaxed, fm_record, fm_set_bits,
    fm_store_relaxed,
)
from fastmem._core.record cimport key_of
from fastmem._core.tiers cimport in_memory, is_unmapped, locate, place_t, valid

cdef enum:
    MOST_BEFORE_KEY = FM_RECORD_HEADER + FM_COLD_EXTENSION

ctypedef struct mark_t:
    uint8_t* byte
    uint8_t bit


cdef bint touch_init(log_t* log) noexcept nogil:
    """Marks of this process alone."""
    log.touched = <uint8_t*>calloc(FM_TOUCHED_BITS // 8, 1)
    return log.touched != NULL


cdef bint is_touched(const log_t* log, uint64_t digest) noexcept nogil:
    """Whatever it says where the page is missing: marks are hints."""
    cdef const uint64_t* word = <const uint64_t*>log.touched
    return peek(word + ((digest & (FM_TOUCHED_BITS - 1)) >> 6)) >> (digest & 63) & 1


cdef inline void aim_at(mark_t* mark, const log_t* log, uint64_t digest) noexcept nogil:
    mark.byte = &log.touched[(digest & (FM_TOUCHED_BITS - 1)) >> 3]
    mark.bit = 1 << (digest & 7)


cdef void set_mark(void* facts) noexcept nogil:
    fm_set_bits((<mark_t*>facts).byte, (<mark_t*>facts).bit)


cdef void clear_mark(void* facts) noexcept nogil:
    fm_clear_bits((<mark_t*>facts).byte, (<mark_t*>facts).bit)


cdef bint mark_touched(log_t* log, uint64_t digest) noexcept nogil:
    """Mark a key as read lately. True when it was marked already: then nothing is written."""
    cdef mark_t mark
    if is_touched(log, digest):
        return True
    aim_at(&mark, log, digest)
    guarded(set_mark, &mark)
    return False


cdef bint take_touched(log_t* log, uint64_t digest) noexcept nogil:
    """Clear a key's mark. True when there was one."""
    cdef mark_t mark
    if not is_touched(log, digest):
        return False
    aim_at(&mark, log, digest)
    guarded(clear_mark, &mark)
    return True


cdef uint64_t find(
    log_t* log, const char* key, uint64_t klen, uint64_t digest, cursor_t* cursor, place_t* place
) noexcept nogil:
    """The word of the key's record, 0 when there is none; cursor and place lead to it.

    0 too, and `unmapped` says so, when the way leads into a segment that another process has begun,
    or a bucket that it has made: map it and ask again. A slot that leads to bytes which do not
    validate is noted and passed over.
    """
    cdef uint64_t directory
    cdef uint64_t word = 0
    while True:
        directory = log.directory = fm_load_acquire(&log.index.head.directory)
        if not look(log, directory, key, klen, digest, cursor, place, &word):
            continue
        # A miss counts only if no bucket was split meanwhile: it may have been this one.
        if word or log.unmapped or log.wary and log.asleep or (
            fm_load_acquire(&log.index.head.directory) == directory
        ):
            return word


cdef inline bint look(
    log_t* log, uint64_t directory, const char* key, uint64_t klen, uint64_t digest,
    cursor_t* cursor, place_t* place, uint64_t* found
) noexcept nogil:
    """Go once through the chain that a key has under a directory word. False: look again."""
    cdef uint64_t word = 0
    cdef uint64_t tag = tag_of(&log.index, digest)
    cdef uint64_t home = home_in(directory, digest)
    found[0] = 0
    first_slot(&log.index, home, cursor)
    if home >= log.index.bucket_room:
        log.unmapped = BEYOND
        return True
    while next_slot(&log.index, cursor, &word):
        if word == 0 or (word & FM_TAG_MASK) != tag:
            continue
        if not locate(log.tier, word, place):
            if log.shared and is_unmapped(log.tier, word):
                log.unmapped = word
                return True
        else:
            if log.eager:
                ask_for_place(place)
            if log.wary and not in_memory(place, MOST_BEFORE_KEY + klen):
                log.asleep = word
                return True
            if valid(place):
                if place.record.klen == klen and memcmp(key_of(place.record), key, klen) == 0:
                    found[0] = word
                    return True
                continue
        if fm_load_acquire(&cursor.bucket.slot[cursor.slot]) != word:
            return False  # what it led to has been moved, and its segment dropped
        note_damaged(log, word)
    return True


cdef void note_damaged(log_t* log, uint64_t word) noexcept nogil:
    cdef int i
    for i in range(log.damaged_count):
        if log.damaged[i] == word:
            return
    if log.damaged_count < MOST_DAMAGED:
        log.damaged[log.damaged_count] = word
        log.damaged_count += 1


cdef uint64_t find_live(
    log_t* log, const char* key, uint64_t klen, uint64_t digest, place_t* place
) noexcept nogil:
    """As find, for what a reader may see: 0 too when the record has expired or is a tombstone."""
    cdef cursor_t cursor
    cdef uint64_t word = find(log, key, klen, digest, &cursor, place)
    return word if word and is_live(log, place) else 0


cdef bint find_word(
    const log_t* log, uint64_t digest, uint64_t word, cursor_t* cursor
) noexcept nogil:
    """True while a key's chain holds `word`; cursor leads to it. Reads no record."""
    cdef uint64_t seen = 0
    cdef uint64_t directory = 0
    while directory != fm_load_acquire(&log.index.head.directory):
        directory = fm_load_acquire(&log.index.head.directory)
        first_slot(&log.index, home_in(directory, digest), cursor)
        while next_slot(&log.index, cursor, &seen):
            if seen == word:
                return True
    return False


cdef bint has_expired(log_t* log, const fm_record* record) noexcept nogil:
    cdef int64_t now
    cdef uint64_t* latest
    now = coarse_now_ns() + log.wall_offset_ns
    if record.deadline_ns > now:
        return False
    # What was once seen expired stays so, wherever the clock stands at the next boot.
    latest = <uint64_t*>&log.sup.latest_wall_ns
    if log.writable and <int64_t>fm_load_relaxed(latest) < now:
        fm_store_relaxed(latest, <uint64_t>now)
    return True
